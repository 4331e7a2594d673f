"""Half-close on both kinds of event loop, on real sockets."""

import asyncio
import random
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast

import pytest

from kdev.tunnel.half_close import half_close
from tests.unit.tunnel.ends import Recorder

MORE_THAN_A_SOCKET_HOLDS = 4 * 1024 * 1024


@dataclass
class Pair:
    """A transport, its protocol, and the socket at the other end."""

    transport: asyncio.Transport
    protocol: Recorder
    peer: socket.socket

    async def read_to_end(self) -> bytes:
        """Everything until the transport's side ends."""
        loop = asyncio.get_running_loop()
        received = bytearray()
        while data := await loop.sock_recv(self.peer, 65536):
            received += data
        return bytes(received)

    async def send(self, data: bytes) -> None:
        """Send to the transport."""
        await asyncio.get_running_loop().sock_sendall(self.peer, data)


@asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """A transport joined to a plain socket."""
    near, far = socket.socketpair()
    far.setblocking(False)
    with far:
        transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=near)
        try:
            yield Pair(transport, protocol, far)
        finally:
            transport.abort()
            await protocol.lost


@pytest.mark.parametrize("size", [0, 10, MORE_THAN_A_SOCKET_HOLDS])
async def test_what_was_written_arrives_before_the_end_and_reading_goes_on(size: int) -> None:
    """All that was written arrives, then the end; the other direction stays open."""
    async with pair() as ends:
        ends.transport.write(b"x" * size)
        half_close(ends.transport)
        assert await ends.read_to_end() == b"x" * size
        await ends.send(b"still")
        await ends.protocol.until(lambda protocol: protocol.received == b"still")


async def test_reading_goes_on_while_the_buffer_drains() -> None:
    """Bytes and the end that arrive before the buffer has drained reach the protocol."""
    async with pair() as ends:
        ends.protocol.keep_open = True
        ends.transport.write(b"x" * MORE_THAN_A_SOCKET_HOLDS)
        half_close(ends.transport)
        await ends.send(b"meanwhile")
        ends.peer.shutdown(socket.SHUT_WR)
        await ends.protocol.until(lambda protocol: "eof" in protocol.log)
        assert ends.protocol.received == b"meanwhile"
        assert len(await ends.read_to_end()) == MORE_THAN_A_SOCKET_HOLDS


async def test_protocol_and_limits_are_as_before_when_the_buffer_has_drained() -> None:
    """A protocol paused before the half-close is resumed, and stands in its place again."""
    async with pair() as ends:
        limits = ends.transport.get_write_buffer_limits()
        ends.transport.write(b"x" * MORE_THAN_A_SOCKET_HOLDS)
        assert ends.protocol.log == ["made", "pause"]
        half_close(ends.transport)
        await ends.read_to_end()
        assert ends.protocol.log == ["made", "pause", "resume"]
        assert ends.transport.get_protocol() is ends.protocol
        assert ends.transport.get_write_buffer_limits() == limits


async def test_a_protocol_that_was_not_paused_is_not_resumed() -> None:
    """The pause that half-close causes by itself stays hidden from the protocol."""
    async with pair() as ends:
        ends.transport.set_write_buffer_limits(high=2 * MORE_THAN_A_SOCKET_HOLDS)
        ends.transport.write(b"x" * MORE_THAN_A_SOCKET_HOLDS)
        half_close(ends.transport)
        await ends.read_to_end()
        assert ends.protocol.log == ["made"]


async def test_again_is_nothing() -> None:
    """A second and a third half-close do nothing, with bytes waiting and without."""
    async with pair() as ends:
        ends.transport.write(b"x" * MORE_THAN_A_SOCKET_HOLDS)
        half_close(ends.transport)
        half_close(ends.transport)
        assert len(await ends.read_to_end()) == MORE_THAN_A_SOCKET_HOLDS
        half_close(ends.transport)
        await ends.send(b"still")
        await ends.protocol.until(lambda protocol: protocol.received == b"still")


async def test_on_a_closing_transport_it_is_nothing() -> None:
    """A transport that closes is left alone."""
    async with pair() as ends:
        ends.transport.close()
        half_close(ends.transport)
        assert await ends.protocol.lost is None


async def test_an_abort_while_the_buffer_drains_reaches_the_protocol() -> None:
    """A transport that is aborted with bytes waiting tells its protocol, and nothing else happens."""
    async with pair() as ends:
        ends.transport.write(b"x" * MORE_THAN_A_SOCKET_HOLDS)
        half_close(ends.transport)
        ends.transport.abort()
        assert await ends.protocol.lost is None


class _Echo(asyncio.Protocol):
    """Sends everything back, and ends its direction when the other has ended."""

    def __init__(self, open_ones: dict["_Echo", asyncio.Future[None]]) -> None:
        self._open_ones = open_ones

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._open_ones[self] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def eof_received(self) -> bool:
        half_close(self.transport)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._open_ones[self].set_result(None)


async def converse(address: tuple[str, int], chance: random.Random) -> None:
    """One connection in one of four ways: silent, reset, closed after writing, ended and read to the end."""
    reader, writer = await asyncio.open_connection(*address)
    way = chance.randrange(4)
    if way:
        data = b"x" * chance.choice((2, 2, 300_000))
        writer.write(data)
        if way == 1:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif way == 3:
            half_close(writer.transport)
            assert await reader.read() == data
    writer.transport.abort()


async def test_fast_connections_of_every_end_survive() -> None:
    """Hundreds of connections that end in every way, many at once, leave the loop alive and every answer whole."""
    loop = asyncio.get_running_loop()
    echoes: dict[_Echo, asyncio.Future[None]] = {}
    server = await loop.create_server(lambda: _Echo(echoes), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()[:2]
    chance = random.Random(7)

    async def many() -> None:
        for _ in range(40):
            await converse(address, chance)

    async with server, asyncio.timeout(30):
        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(many())
        for echo in echoes:
            echo.transport.abort()
        await asyncio.gather(*echoes.values())
