"""The last test of a run: the machine is as it was before the first."""

from tests.leftovers import Leftovers, settled_since


def test_nothing_is_left_behind(before: Leftovers) -> None:
    """After all tests no process, namespace, link, nft table or mount of theirs exists."""
    assert settled_since(before) == {}
