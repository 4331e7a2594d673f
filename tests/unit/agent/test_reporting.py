"""Reporting: totals are exact, live lines are few."""

from kdev.agent.reporting import LINES_PER_SECOND, Reporting
from kdev.proxy.interface import Outcome, Report


def _report(outcome: Outcome) -> Report:
    return Report(8080, "GET", "/api/x", outcome)


def test_totals_count_every_request_by_outcome() -> None:
    """Each outcome has its own total, and matched is their sum."""
    reporting = Reporting(clock=lambda: 1.0)
    for outcome in Outcome:
        reporting.report(_report(outcome))
    counts = reporting.counts()
    assert (counts.mirrored, counts.stolen, counts.dropped, counts.fell_back, counts.failed) == (1, 1, 1, 1, 1)
    assert counts.matched == len(Outcome)


def test_live_lines_are_bounded_in_each_second_but_totals_go_on() -> None:
    """More requests than lines in one second are counted without a line; the next second has lines again."""
    now = [0.0]
    reporting = Reporting(clock=lambda: now[0])
    for _ in range(LINES_PER_SECOND + 10):
        reporting.report(_report(Outcome.STOLEN))
    assert len(reporting.take_lines()) == LINES_PER_SECOND
    now[0] = 1.0
    reporting.report(_report(Outcome.STOLEN))
    assert len(reporting.take_lines()) == 1
    assert reporting.counts().stolen == LINES_PER_SECOND + 11
