"""A pod's namespace for each test of the agent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pod_namespace import PodNamespace


@pytest.fixture
def pod(tmp_path: Path) -> Iterator[PodNamespace]:
    """A pod without anything in it yet."""
    with PodNamespace(tmp_path) as namespace:
        yield namespace
