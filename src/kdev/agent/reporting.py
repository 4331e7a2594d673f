"""What the laptop is told of the traffic: totals always, single requests as long as they are few."""

from kdev.proxy.interface import Outcome, Report
from kdev.tunnel.messages import Counts, Seen

BURST = 50
"""More live lines at once than a screen has nobody reads; totals go on."""

REFILL = 10
"""Lines that may follow, each time they are taken: 50 in a second, at about 10 us of the agent for each."""


class Reporting:
    """Counts what became of matched requests.

    Attributes:
        direct: Connections that bypass the tap, as last counted.
    """

    def __init__(self) -> None:
        self._allowance = BURST
        self._lines: list[Seen] = []
        self._outcomes = dict.fromkeys(Outcome, 0)
        self.direct = 0

    def report(self, report: Report) -> None:
        """Count one matched request, and keep it as a live line if there is room."""
        self._outcomes[report.outcome] += 1
        if self._allowance:
            self._allowance -= 1
            self._lines.append(
                Seen(
                    port=report.port,
                    method=report.method.decode("latin-1"),
                    path=report.path,
                    action=report.outcome.value,
                    detail=report.detail,
                )
            )

    def take_lines(self) -> list[Seen]:
        """The live lines since the last call."""
        self._allowance = min(self._allowance + REFILL, BURST)
        lines, self._lines = self._lines, []
        return lines

    def counts(self) -> Counts:
        """Totals since the session's begin."""
        outcomes = self._outcomes
        return Counts(
            matched=sum(outcomes.values()),
            mirrored=outcomes[Outcome.MIRRORED],
            stolen=outcomes[Outcome.STOLEN],
            dropped=outcomes[Outcome.DROPPED],
            fell_back=outcomes[Outcome.FELL_BACK],
            failed=outcomes[Outcome.FAILED],
            direct=self.direct,
        )
