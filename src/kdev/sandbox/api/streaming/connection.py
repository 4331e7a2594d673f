"""A connection after its 101: taken out of the HTTP server's hands, with back-pressure in both directions.

The client sends nothing before it has seen the 101, so the transport's protocol can be exchanged without losing a
byte. From then on data goes straight from one transport's callback to the next one's ``write``.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from aiohttp import web

_HIGH_WATER: Final = 1 << 20
"""Bytes that may wait for a slow client before its sources pause: a few round trips of a fast tunnel."""


class Link(Protocol):
    """Where a streaming protocol reads and writes: the connection itself, or something stacked upon it."""

    def write(self, data: bytes) -> None:
        """Send bytes; never blocks."""
        ...

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written; returns also when it has gone."""
        ...

    def pause(self) -> None:
        """Read no more for now; calls count and are undone by as many ``resume``."""
        ...

    def resume(self) -> None:
        """Undo one ``pause``."""
        ...

    def close(self) -> None:
        """End it once everything written has been sent."""
        ...


class UpgradedConnection(asyncio.Protocol):
    """The bytes of a connection that has changed its protocol."""

    def __init__(self, transport: asyncio.Transport, http: asyncio.BaseProtocol) -> None:
        self._transport = transport
        self._http = http
        self._pauses = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self.closed = asyncio.Event()
        self.receive: Callable[[bytes], None] = lambda _: None
        self._when_closed: list[Callable[[], object]] = []
        transport.set_write_buffer_limits(high=_HIGH_WATER)

    def data_received(self, data: bytes) -> None:
        """Hand on what the client sent."""
        if not self._transport.is_closing():
            self.receive(data)

    def pause_writing(self) -> None:
        """Let ``drain`` wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let ``drain`` go on."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell everybody that waits, and the HTTP server that its connection is gone."""
        self._writable.set()
        self.closed.set()
        for tell in self._when_closed:
            tell()
        self._http.connection_lost(exc)

    def when_closed(self, tell: Callable[[], object]) -> None:
        """Call a function once the connection has ended; at once, when it has ended already."""
        if self.closed.is_set():
            tell()
        else:
            self._when_closed.append(tell)

    def write(self, data: bytes) -> None:
        """Send bytes; lost without a word when the client has gone."""
        if not self._transport.is_closing():
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written."""
        await self._writable.wait()

    def pause(self) -> None:
        """Read no more for now."""
        self._pauses += 1
        if self._pauses == 1 and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Undo one ``pause``."""
        self._pauses -= 1
        if self._pauses == 0 and not self._transport.is_closing():
            self._transport.resume_reading()

    def close(self) -> None:
        """End it once everything written has been sent."""
        self._transport.close()


def upgrade(request: web.Request, headers: Mapping[str, str]) -> UpgradedConnection:
    """Answer 101 and take the connection over.

    The caller sets ``receive`` before it awaits anything, and waits for ``closed`` before it lets the HTTP server
    have its way again.
    """
    transport = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone before its connection was upgraded")
    http = transport.get_protocol()
    connection = UpgradedConnection(transport, http)
    lines = ["HTTP/1.1 101 Switching Protocols", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    transport.write("\r\n".join(lines).encode())
    transport.set_protocol(connection)
    return connection
