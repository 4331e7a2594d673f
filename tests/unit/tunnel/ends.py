"""Two ends of a tunnel over a socket pair, and a protocol that writes down what it is told."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from kdev.tunnel.transport import Acceptor, Tunnel
from kdev.tunnel.tunnel_stream import TunnelStream
from kdev.tunnel.yamux.connection import Role


class Recorder(asyncio.Protocol):
    """Writes down what it is told, and lets a test wait for it."""

    def __init__(self, *, keep_open: bool = False) -> None:
        self.transport: Any = None
        self.received = bytearray()
        self.log: list[str] = []
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.changed = asyncio.Event()
        self.keep_open = keep_open

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the transport."""
        self.transport = cast("TunnelStream", transport)
        self._note("made")

    def accepted(self) -> None:
        """Write it down."""
        self._note("accepted")

    def data_received(self, data: bytes) -> None:
        """Keep the bytes."""
        self.received += data
        self.changed.set()

    def eof_received(self) -> bool:
        """Write it down, and keep the stream open if told to."""
        self._note("eof")
        return self.keep_open

    def pause_writing(self) -> None:
        """Write it down."""
        self._note("pause")

    def resume_writing(self) -> None:
        """Write it down."""
        self._note("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        """Write it down, and tell why."""
        self._note("lost")
        self.lost.set_result(exc)

    def _note(self, what: str) -> None:
        self.log.append(what)
        self.changed.set()

    async def until(self, condition: Callable[["Recorder"], bool]) -> None:
        """Wait until what was told fulfils a condition."""
        async with asyncio.timeout(10):
            while not condition(self):
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Ends:
    """Both ends of a tunnel, and the protocols that the server's end made for streams, in order."""

    client: Tunnel
    server: Tunnel
    arrivals: asyncio.Queue[Recorder]


@asynccontextmanager
async def joined(*, keep_open: bool = False, **options: Any) -> AsyncIterator[Ends]:
    """Two tunnels over a socket pair; ``options`` go to both."""
    arrivals: asyncio.Queue[Recorder] = asyncio.Queue()

    def accept(stream: TunnelStream) -> Recorder:
        protocol = Recorder(keep_open=keep_open)
        arrivals.put_nowait(protocol)
        return protocol

    async with joined_with(accept, **options) as (client, server):
        yield Ends(client, server, arrivals)


@asynccontextmanager
async def joined_with(acceptor: Acceptor, **options: Any) -> AsyncIterator[tuple[Tunnel, Tunnel]]:
    """Two tunnels over a socket pair, the second with an acceptor; ``options`` go to both."""
    loop = asyncio.get_running_loop()
    tunnels = Tunnel(Role.CLIENT, **options), Tunnel(Role.SERVER, acceptor, **options)
    for tunnel, end in zip(tunnels, socket.socketpair(), strict=True):
        end.setblocking(False)
        await loop.create_connection(lambda tunnel=tunnel: tunnel, sock=end)
    try:
        yield tunnels
    finally:
        for tunnel in tunnels:
            tunnel.close()
            await tunnel.lost
