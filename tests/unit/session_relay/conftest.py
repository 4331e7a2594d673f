"""A relay between an agent's end of a tunnel and a local server, on both kinds of event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import uvloop

from kdev.session.relay import LocalRelay
from kdev.session.replay import Answered
from kdev.tunnel.stream_accepting import accept_streams
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.yamux.connection import Role
from tests.unit.session_relay.ends import POD_PORT, Laptop, LocalServer


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Each test runs on both loops, whose transports differ in how they end."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@asynccontextmanager
async def _serving(local_port: int) -> AsyncIterator[Laptop]:
    loop = asyncio.get_running_loop()
    agent_socket, laptop_socket = socket.socketpair()
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        answered: asyncio.Queue[Answered] = asyncio.Queue()
        relay = LocalRelay({POD_PORT: local_port}, tasks, answered.put_nowait)
        _, laptop_end = await loop.create_connection(
            lambda: Tunnel(Role.CLIENT, accept_streams(relay.serve)), sock=laptop_socket
        )
        _, agent_end = await loop.create_connection(lambda: Tunnel(Role.SERVER), sock=agent_socket)
        try:
            yield Laptop(agent_end, answered)
        finally:
            agent_end.close()
            await laptop_end.lost


@pytest.fixture
async def server() -> AsyncIterator[LocalServer]:
    """A process that listens."""
    local = LocalServer()
    await local.start()
    yield local
    await local.close()


@pytest.fixture
def serving() -> Callable[[int], AbstractAsyncContextManager[Laptop]]:
    """A laptop whose relay leads the pod's port to the given local one."""
    return _serving
