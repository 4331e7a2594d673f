"""The last run of all: the machine is as it was before the tests."""

import os
from pathlib import Path

import pytest

from tests.leftovers import Leftovers, settled_since

BEFORE = "KDEV_TESTS_BEFORE"
"""Names the file with the account from before the tests; ``make integration`` sets it."""


def test_nothing_is_left_behind() -> None:
    """After all tests no process, namespace, link, nft table or mount of theirs exists."""
    if BEFORE not in os.environ:
        pytest.fail(f"there is no account from before the tests: run 'make integration', or set {BEFORE}")
    assert settled_since(Leftovers.read(Path(os.environ[BEFORE]))) == {}
