"""Reporting: totals are exact, live lines are few."""

from kdev.agent.reporting import BURST, REFILL, Reporting
from kdev.proxy.interface import Outcome, Report


def _report(outcome: Outcome) -> Report:
    return Report(8080, b"GET", b"/api/x?token=a", outcome)


def test_totals_count_every_request_by_outcome() -> None:
    """Each outcome has its own total, and matched is their sum."""
    reporting = Reporting()
    for outcome in Outcome:
        reporting.report(_report(outcome))
    counts = reporting.counts()
    assert (counts.mirrored, counts.stolen, counts.dropped, counts.fell_back, counts.failed) == (1, 1, 1, 1, 1)
    assert counts.matched == len(Outcome)


def test_live_lines_are_bounded_but_totals_go_on() -> None:
    """A burst has at most so many lines; what is left out is counted, and each time they are taken some more fit."""
    reporting = Reporting()
    for _ in range(BURST + 10):
        reporting.report(_report(Outcome.STOLEN))
    assert len(reporting.take_lines()) == BURST
    for _ in range(BURST):
        reporting.report(_report(Outcome.STOLEN))
    assert len(reporting.take_lines()) == REFILL
    assert reporting.counts().stolen == 2 * BURST + 10


def test_a_line_tells_the_path_without_its_query() -> None:
    """A query may hold what belongs into nobody's terminal."""
    reporting = Reporting()
    reporting.report(_report(Outcome.STOLEN))
    (line,) = reporting.take_lines()
    assert (line.port, line.method, line.path, line.action) == (8080, "GET", "/api/x", "stolen")
