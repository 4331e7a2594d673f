"""The tunnel against HashiCorp's own yamux, as client and as server."""

import asyncio
from pathlib import Path
from typing import cast

import pytest

from kdev.tunnel.half_close import half_close
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.tunnel_stream import TunnelStream
from kdev.tunnel.yamux.connection import Role
from tests.integration.tunnel.conftest import reference

ROLES = pytest.mark.parametrize("role", Role, ids=lambda role: role.name.lower())


class _Echo(asyncio.Protocol):
    """Sends everything back with back-pressure, and ends its direction after the other's end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class _Collecting(asyncio.Protocol):
    """Collects what comes back."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.done: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.done.set_result(exc)


def echo(_stream: TunnelStream) -> _Echo:
    """The acceptor of every test here."""
    return _Echo()


async def transfer(tunnel: Tunnel, payload: bytes) -> bytes:
    """Send a payload on a stream of its own and return what the other end sent back until it ended."""
    collecting = _Collecting()
    stream = tunnel.open(collecting)
    stream.write(payload)
    half_close(stream)
    async with asyncio.timeout(60):
        assert await collecting.done is None
    return bytes(collecting.received)


@ROLES
@pytest.mark.parametrize(("streams", "size"), [(1, 10_000_000), (200, 3000), (20, 600_000), (3, 0)])
async def test_what_we_send_comes_back(peer_program: Path, role: Role, streams: int, size: int) -> None:
    """Streams opened here carry any amount there and back, far beyond the window, and end after both half-closes."""
    payload = bytes(range(250)) * (size // 250)
    async with reference(peer_program, role, echo) as (tunnel, _):
        echoes = await asyncio.gather(*(transfer(tunnel, payload) for _ in range(streams)))
        assert [echo == payload for echo in echoes] == [True] * streams


@ROLES
@pytest.mark.parametrize(("streams", "size"), [(1, 10_000_000), (200, 3000), (20, 600_000), (3, 0)])
async def test_what_they_send_goes_back(peer_program: Path, role: Role, streams: int, size: int) -> None:
    """Streams opened by the reference implementation carry any amount there and back."""
    async with reference(peer_program, role, echo) as (_, peer):
        assert await peer.obey(f"transfer {streams} {size}") == "ok"


@ROLES
async def test_both_open_streams_at_once(peer_program: Path, role: Role) -> None:
    """Streams of both ends do not get into each other's way."""
    payload = b"kdev" * 100_000
    async with reference(peer_program, role, echo) as (tunnel, peer):
        answer, *echoes = await asyncio.gather(
            peer.obey("transfer 20 400000"), *(transfer(tunnel, payload) for _ in range(20))
        )
        assert answer == "ok"
        assert [echo == payload for echo in echoes] == [True] * 20
        assert await peer.obey("ping") == "ok"


@ROLES
async def test_after_their_go_away_none_is_opened_and_open_ones_go_on(peer_program: Path, role: Role) -> None:
    """Their go-away stops our opening; a stream that is open is still served."""
    async with reference(peer_program, role, echo) as (tunnel, peer):
        collecting = _Collecting()
        stream = tunnel.open(collecting)
        assert await peer.obey("ping") == "ok"  # the stream has arrived, as the ping's answer comes after it
        assert await peer.obey("go away") == "ok"
        assert await peer.obey("ping") == "ok"
        assert not tunnel.can_open
        stream.write(b"still here")
        half_close(stream)
        assert await collecting.done is None
        assert collecting.received == b"still here"


@ROLES
async def test_after_our_go_away_they_open_none(peer_program: Path, role: Role) -> None:
    """Our go-away is understood."""
    async with reference(peer_program, role, echo) as (tunnel, peer):
        tunnel.go_away()
        assert await peer.obey("ping") == "ok"
        assert "not accepting" in await peer.obey("open")


@ROLES
async def test_our_reset_is_theirs_alone_to_notice(peer_program: Path, role: Role) -> None:
    """A stream reset in the middle of a transfer leaves the session to all others."""
    async with reference(peer_program, role, echo) as (tunnel, peer):
        stream = tunnel.open(_Collecting())
        stream.write(b"x" * 1_000_000)
        stream.abort()
        assert await transfer(tunnel, b"after that") == b"after that"
        assert await peer.obey("transfer 5 300000") == "ok"


@ROLES
async def test_their_closing_ends_the_tunnel(peer_program: Path, role: Role) -> None:
    """When the reference implementation closes its session, our streams are lost, not left hanging."""
    async with reference(peer_program, role, echo) as (tunnel, peer):
        collecting = _Collecting()
        tunnel.open(collecting)
        assert await peer.obey("ping") == "ok"
        assert await peer.obey("close") == "ok"
        async with asyncio.timeout(10):
            assert isinstance(await collecting.done, ConnectionResetError)
