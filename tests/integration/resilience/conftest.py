"""One sandbox with one workload for all tests of this folder; each test leaves its pod as it found it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.resilience.sessions import LocalProcess, local_process
from tests.integration.resilience.shop import Shop, open_shop
from tests.integration.sandbox.conftest import Sandbox, named

DOWNLOAD_SECONDS = 4
"""Long enough to span a session's end; each end waits for them."""


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running sandbox."""
    own = named("resilience", tmp_path_factory.mktemp("resilience"))
    try:
        started = own.command("up")
        assert started.returncode == 0, started.stderr
        yield own
    finally:
        assert own.command("down").returncode == 0


@pytest.fixture(scope="session")
def only_shop(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The workload that all tests share."""
    return open_shop(sandbox, tmp_path_factory.mktemp("shop"), download_seconds=DOWNLOAD_SECONDS)


@pytest.fixture
def shop(only_shop: Shop) -> Iterator[Shop]:
    """The workload, with nothing of kdev left in its pod after the test."""
    yield only_shop
    only_shop.await_nothing_left()


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalProcess]:
    """The developer's process, which listens."""
    with local_process(tmp_path) as running:
        yield running
