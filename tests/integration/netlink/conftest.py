"""Namespaces that belong to one test."""

from collections.abc import Iterator

import pytest

from tests.integration.netlink.namespaces import Namespace, new_namespace


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """An empty network namespace."""
    with new_namespace() as made:
        yield made


@pytest.fixture
def other_namespace() -> Iterator[Namespace]:
    """A second one."""
    with new_namespace() as made:
        yield made
