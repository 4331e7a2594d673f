"""Which local ports accept, and when that changes."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator

import pytest

from kdev.session import listening
from kdev.session.listening import Accepting, watch_listening

LOOKS = [pytest.param(listening._by_connecting, id="connecting")]
if sys.platform == "linux":
    LOOKS.append(pytest.param(listening._from_tables, id="tables"))


@pytest.fixture(params=LOOKS)
def accepting(request: pytest.FixtureRequest) -> Accepting:
    """Each way of looking that works on this system."""
    return request.param


@pytest.fixture
async def server() -> AsyncIterator[asyncio.Server]:
    """A process that listens on IPv4 loopback."""
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0) as one:
        yield one


def port_of(server: asyncio.Server) -> int:
    """Where it listens."""
    return server.sockets[0].getsockname()[1]


def unused_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


async def test_ports_that_accept_are_told(accepting: Accepting, server: asyncio.Server) -> None:
    """Of the ports asked for, those that somebody listens on."""
    assert await accepting(frozenset((port_of(server), unused_port()))) == {port_of(server)}


@pytest.mark.parametrize("host", ["0.0.0.0", "::1", "::"])
async def test_every_binding_that_loopback_reaches_counts(accepting: Accepting, host: str) -> None:
    """Servers bind loopback or everything, in either address family."""
    async with await asyncio.start_server(lambda _reader, writer: writer.close(), host, 0) as one:
        assert await accepting(frozenset((port_of(one),))) == {port_of(one)}


async def test_every_change_is_told_once() -> None:
    """First the state found, then each difference, and nothing while it stays the same."""
    states = iter([set(), set(), {1}, {1}, {1, 2}, set()])

    async def look(_ports: frozenset[int]) -> frozenset[int]:
        return frozenset(next(states))

    watch = watch_listening([1, 2], interval=0, accepting=look)
    assert [await anext(watch) for _ in range(4)] == [frozenset(), {1}, {1, 2}, frozenset()]
    await watch.aclose()


async def test_a_server_that_begins_and_stops_is_noticed() -> None:
    """On the real system."""
    port = unused_port()
    async with asyncio.timeout(5):
        watch = watch_listening([port], interval=0.01)
        assert await anext(watch) == frozenset()
        async with await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port):
            assert await anext(watch) == {port}
        assert await anext(watch) == frozenset()
        await watch.aclose()
