"""What every test shares: root-only marking, and the account of what exists on the machine before and after."""

import os

import pytest

from tests.leftovers import Leftovers

_BEFORE = pytest.StashKey[Leftovers]()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Count what exists before any test has run."""
    session.config.stash[_BEFORE] = Leftovers.now()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fail root's tests early where nobody can run them, rather than skip them silently."""
    if os.geteuid() != 0 and any(item.get_closest_marker("root") for item in items):
        pytest.exit("these tests make kernel namespaces: run them as root, or run 'make unit'", returncode=6)


@pytest.fixture(scope="session")
def before(pytestconfig: pytest.Config) -> Leftovers:
    """What existed when the tests began."""
    return pytestconfig.stash[_BEFORE]
