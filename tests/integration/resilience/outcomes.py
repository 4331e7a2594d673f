"""What became of the requests of a load, read from the log of ``http1_load`` or of ``h2load``."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

POD, LOCAL = "200", "203"
"""The status tells who answered: here the application answers 200 and the developer's process 203."""


@dataclass(frozen=True)
class Outcome:
    """One request: sent at (seconds since the epoch), over after seconds; a status, or what went wrong instead."""

    sent: float
    result: str
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether its sender got no proper answer."""
        return self.result not in (POD, LOCAL)


@dataclass(frozen=True)
class Outcomes:
    """All of them, in the order in which they ended."""

    all: tuple[Outcome, ...]

    @classmethod
    def read(cls, log: Path) -> "Outcomes":
        """Read a log whose writer has ended; a last line that was cut counts for nothing."""
        lines = [line.split("\t") for line in log.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return cls(tuple(Outcome(int(begun) / 1e6, result, int(took) / 1e6) for begun, result, took, *_ in lines))

    @property
    def failed(self) -> list[Outcome]:
        """Those that failed."""
        return [outcome for outcome in self.all if outcome.failed]

    @property
    def results(self) -> Counter[str]:
        """How many ended in which way."""
        return Counter(outcome.result for outcome in self.all)

    @property
    def rate(self) -> float:
        """Requests per second that were really sent."""
        sent = [outcome.sent for outcome in self.all]
        return len(sent) / max(max(sent) - min(sent), 1e-3)

    def since(self, moment: float) -> "Outcomes":
        """Those that were sent after a moment."""
        return Outcomes(tuple(outcome for outcome in self.all if outcome.sent > moment))

    def in_flight_at(self, moment: float) -> "Outcomes":
        """Those that were on their way at a moment."""
        return Outcomes(tuple(one for one in self.all if one.sent <= moment <= one.sent + one.seconds))
