"""Adding up what agents count."""

from kdev.session.totals import Totals
from kdev.tunnel.messages import Counts


def test_sum_over_pods() -> None:
    """The latest counts of each pod are added."""
    totals = Totals()
    totals.update("a", Counts(matched=1, mirrored=1))
    totals.update("a", Counts(matched=3, mirrored=2, dropped=1, direct=1))
    totals.update("b", Counts(matched=2, mirrored=2, direct=1))
    assert totals.counts == Counts(matched=5, mirrored=4, dropped=1, direct=2)


def test_another_agent_in_the_same_pod() -> None:
    """What the agent before has counted stays in the sum."""
    totals = Totals()
    totals.update("a", Counts(matched=3, stolen=3, direct=2))
    totals.update("a", Counts(matched=1, stolen=1))
    assert totals.counts == Counts(matched=4, stolen=4)
