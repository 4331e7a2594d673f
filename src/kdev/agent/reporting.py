"""What the laptop is told of the traffic: totals always, single requests as long as they are few."""

import time
from collections.abc import Callable

from kdev.proxy.interface import Outcome, Report
from kdev.tunnel.messages import Counts, Seen

LINES_PER_SECOND = 50
"""More live lines than this nobody reads; totals go on. A line costs the agent about 10 us, so the bound also keeps
reporting below a thousandth of a core."""


class Reporting:
    """Counts what became of matched requests.

    ``lines`` collects what is to be sent as live lines until it is taken; its bound is the second's allowance.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._window = -1
        self._allowance = 0
        self._lines: list[Seen] = []
        self._outcomes = dict.fromkeys(Outcome, 0)
        self.direct = 0

    def report(self, report: Report) -> None:
        """Count one matched request, and keep it as a live line if this second has room."""
        self._outcomes[report.outcome] += 1
        if (second := int(self._clock())) != self._window:
            self._window, self._allowance = second, LINES_PER_SECOND
        if self._allowance and len(self._lines) < LINES_PER_SECOND:
            self._allowance -= 1
            self._lines.append(
                Seen(
                    port=report.port,
                    method=report.method,
                    path=report.path,
                    action=report.outcome.value,
                    detail=report.detail,
                )
            )

    def take_lines(self) -> list[Seen]:
        """The live lines since the last call."""
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
