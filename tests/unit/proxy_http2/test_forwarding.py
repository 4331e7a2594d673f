import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from kdev.proxy.http2 import frames
from kdev.proxy.http2.farewell import FAREWELL
from kdev.proxy.http2.header_fields import encode_stateless
from kdev.proxy.http2.taking_over import take_over
from kdev.proxy.interface import Shadowing, Upstream
from kdev.proxy.splice import Splice
from kdev.tunnel.messages import Mode
from kdev.tunnel.streams import StreamForm
from tests.unit.proxy_http2.simulation import Session

HOST = "127.0.0.1"


class CopiedTo(asyncio.Transport):
    """A stream to a process that takes everything and answers nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = asyncio.Event()

    def write(self, data: bytes) -> None:  # type: ignore[override]  # always bytes here
        """Keep it."""
        self.written += data

    def is_closing(self) -> bool:
        """Never."""
        return False

    def abort(self) -> None:
        """There is nothing to end."""

    def close(self) -> None:
        """Remember it."""
        self.closed.set()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    def get_write_buffer_size(self) -> int:
        """There is no buffer."""
        return 0


class MirrorSession(Session):
    """A mirror session whose process is a ``CopiedTo``."""

    def __init__(self) -> None:
        super().__init__(mode=Mode.MIRROR)
        self.stream = CopiedTo()

    def open(self, port: int, protocol: Upstream, *, form: StreamForm) -> asyncio.Transport | None:
        """As ``Shadowing``."""
        protocol.connection_made(self.stream)
        self.link = protocol
        return self.stream


def conversation(rnd: random.Random) -> bytes:
    """What a client may send, up to its first fault; from there on anything."""
    sent = [frames.PREFACE, frames.settings({})]
    for stream_id in range(1, 2 * rnd.randint(1, 12), 2):
        path = rnd.choice([b"/a", b"/b"])
        block = encode_stateless([(b":method", b"POST"), (b":path", path)])
        sent.append(frames.header_frames(frames.HEADERS, 0, stream_id, block))
        padding = rnd.randint(0, 20)
        payload = bytes((padding,)) + rnd.randbytes(rnd.randint(0, 3000)) + bytes(padding)
        sent.append(frames.frame(frames.DATA, frames.PADDED | rnd.randint(0, 1), stream_id, payload))
        sent.append(rnd.choice([b"", frames.reset(stream_id, frames.CANCEL), frames.window_update(0, 5)]))
    if rnd.random() < 0.5:
        sent.append(rnd.randbytes(rnd.randint(1, 500)))
    return b"".join(sent)


Sessions = Callable[[], Session | None]


async def exchange(sessions: Sessions, sent: bytes, answer: bytes, rnd: random.Random) -> tuple[bytes, bytes]:
    """Send bytes through the splice in random pieces; returns what the pod and the client received."""
    loop = asyncio.get_running_loop()
    arrived: asyncio.Future[bytes] = loop.create_future()
    total = len(sent)

    async def pod(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        arrived.set_result(await reader.readexactly(total))
        writer.close()

    def current() -> Shadowing | None:
        return sessions()  # type: ignore[return-value]  # stands in for the agent's

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(pod, HOST, 0))
        address = HOST, server.sockets[0].getsockname()[1]
        splice = Splice(current, http2=take_over, original_destination=lambda _transport: address)
        front = await stack.enter_async_context(await loop.create_server(splice, HOST, 0))
        reader, writer = await asyncio.open_connection(HOST, front.sockets[0].getsockname()[1])
        while sent:
            size = rnd.choice([1, 9, 200, 5000])
            writer.write(sent[:size])
            sent = sent[size:]
            await writer.drain()
        got = await reader.read()
        writer.close()
        await splice.connections.none_left()
        return await arrived, got


@pytest.mark.parametrize("mode", ["pass", "mirror"])
@pytest.mark.parametrize("seed", range(6))
async def test_forwarded_bytes_are_the_same_on_both_sides(seed: int, mode: str) -> None:
    """Whatever is said, in whatever pieces, also what is no HTTP/2 at all: it arrives byte for byte."""
    rnd = random.Random(seed)
    sent = conversation(rnd)
    answer = frames.settings({}) + rnd.randbytes(3000)
    session = MirrorSession() if mode == "mirror" else None
    at_pod, at_client = await exchange(lambda: session, sent, answer, rnd)
    assert at_pod == sent
    assert at_client == answer
    if session is not None and b"\x04\x02/b" in sent:
        assert session.stream.written.startswith(frames.PREFACE)


async def test_a_session_that_comes_later_asks_for_a_new_connection() -> None:
    """A forwarded connection that a steal session finds gets a GOAWAY, and its request stays on the pod."""
    block = encode_stateless([(b":method", b"GET"), (b":path", b"/b")])
    sent = frames.PREFACE + frames.settings({}) + frames.header_frames(frames.HEADERS, 1, 1, block)
    sessions: list[Session | None] = [None, Session(mode=Mode.STEAL)]
    at_pod, at_client = await exchange(lambda: sessions.pop(0), sent, frames.settings({}), random.Random(1))
    assert at_pod == sent
    assert FAREWELL in at_client


def request(stream_id: int) -> bytes:
    """A request that the session wants."""
    block = encode_stateless([(b":method", b"GET"), (b":path", b"/b")])
    return frames.header_frames(frames.HEADERS, frames.END_STREAM, stream_id, block)


async def test_a_connection_that_is_handed_back_keeps_its_link_for_what_is_in_flight() -> None:
    """No later request is copied, and the link is closed behind the last answer."""
    session = MirrorSession()
    read = asyncio.Event()

    async def pod(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frames.settings({}))
        await reader.readuntil(request(3))
        read.set()
        await reader.read()
        writer.close()

    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(await asyncio.start_server(pod, HOST, 0))
        address = HOST, server.sockets[0].getsockname()[1]
        splice = Splice(
            lambda: session,  # type: ignore[arg-type,return-value]  # stands in for the agent's
            original_destination=lambda _transport: address,
        )
        front = await stack.enter_async_context(await asyncio.get_running_loop().create_server(splice, HOST, 0))
        reader, writer = await asyncio.open_connection(HOST, front.sockets[0].getsockname()[1])
        writer.write(frames.PREFACE + frames.settings({}) + request(1))
        await reader.readexactly(len(frames.settings({})))
        splice.drain()
        assert await reader.readexactly(len(FAREWELL)) == FAREWELL
        writer.write(request(3))
        await read.wait()
        assert session.stream.written.count(b"/b") == 1
        assert not session.stream.closed.is_set()
        answer = frames.header_frames(frames.HEADERS, frames.END_STREAM, 1, encode_stateless([(b":status", b"200")]))
        session.link.data_received(frames.settings({}) + answer)
        assert session.stream.closed.is_set()
        session.link.connection_lost(None)
        writer.close()
        await splice.connections.none_left()
