"""Every asynchronous test of the splice runs on both loops: they differ at the edges of a connection's life."""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import uvloop

HERE = Path(__file__).parent


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]] | None:
    """The loops by name, for the tests of this folder itself."""
    if item.path.parent != HERE:
        return None
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.SelectorEventLoop}
