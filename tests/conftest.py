"""What every test shares: tests that need root say so."""

import os

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fail root's tests early where nobody can run them, rather than skip them silently."""
    if os.geteuid() != 0 and any(item.get_closest_marker("root") for item in items):
        pytest.exit("these tests make kernel namespaces: run them as root, or run 'make unit'", returncode=6)
