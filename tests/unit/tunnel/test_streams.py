"""A stream's head and answer: opened by the agent, accepted or refused by the laptop."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdev.tunnel.half_close import half_close
from kdev.tunnel.stream_accepting import IncomingStream, accept_streams
from kdev.tunnel.stream_opening import open_stream
from kdev.tunnel.streams import HEAD_LIMIT, StreamForm, StreamHead, decode_head, encode_head
from kdev.tunnel.tunnel_stream import TunnelStream
from kdev.tunnel.yamux.protocol_error import RemoteProtocolError
from tests.unit.tunnel.ends import Recorder, joined_with


class _Laptop:
    """A handler that keeps the streams for the test to judge."""

    def __init__(self) -> None:
        self.streams: asyncio.Queue[IncomingStream] = asyncio.Queue()

    def __call__(self, incoming: IncomingStream) -> None:
        self.streams.put_nowait(incoming)


async def test_an_accepted_stream_carries_bytes_both_ways() -> None:
    """Bytes written with the head reach the process's protocol; its answer follows the acceptance."""
    handler = _Laptop()
    async with joined_with(accept_streams(handler)) as (agent, _):
        near, far = Recorder(), Recorder()
        stream = open_stream(agent, 8080, StreamForm.RAW, near)
        assert near.log == ["made"]
        stream.write(b"GET /")
        incoming = await handler.streams.get()
        assert incoming.head == StreamHead(port=8080, form=StreamForm.RAW)
        incoming.accept(far)
        far.transport.write(b"200")
        await near.until(lambda protocol: protocol.received == b"200")
        await far.until(lambda protocol: protocol.received == b"GET /")
        assert near.log == ["made", "accepted"]
        assert stream.get_protocol() is near
        far.transport.close()
        assert await near.lost is None
        assert stream.get_extra_info("delivered") == len(b"GET /")


async def test_a_refused_stream_is_lost_as_a_refused_connection() -> None:
    """Nothing that was written is delivered to anybody, and the protocol is told what a socket would tell."""
    handler = _Laptop()
    async with joined_with(accept_streams(handler)) as (agent, _):
        near = Recorder()
        stream = open_stream(agent, 8080, StreamForm.RECORDS, near)
        stream.write(b"POST /")
        (await handler.streams.get()).refuse()
        assert isinstance(await near.lost, ConnectionRefusedError)
        assert near.log == ["made", "lost"]
        assert stream.get_extra_info("delivered") in (0, None)


async def test_an_end_before_the_acceptance_is_kept_for_the_process() -> None:
    """An agent that has said everything before the process is connected is heard out."""
    handler = _Laptop()
    async with joined_with(accept_streams(handler)) as (agent, _):
        near, far = Recorder(), Recorder(keep_open=True)
        open_stream(agent, 8080, StreamForm.RAW, near)
        half_close(near.transport)
        incoming = await handler.streams.get()
        incoming.accept(far)
        await far.until(lambda protocol: "eof" in protocol.log)
        far.transport.write(b"welcome")
        far.transport.close()
        await near.lost
        assert near.received == b"welcome"


async def test_a_stream_lost_before_the_acceptance_is_told_to_the_process() -> None:
    """A protocol that takes over a stream already gone is told so."""
    handler = _Laptop()
    async with joined_with(accept_streams(handler)) as (agent, _):
        near, far = Recorder(), Recorder()
        open_stream(agent, 8080, StreamForm.RAW, near)
        incoming = await handler.streams.get()
        near.transport.abort()
        open_stream(agent, 8080, StreamForm.RAW, Recorder())
        await handler.streams.get()  # the reset came before this
        incoming.accept(far)
        assert isinstance(await far.lost, ConnectionResetError)


async def test_a_stream_that_ends_without_an_answer_is_a_reset() -> None:
    """A laptop that closes without accepting or refusing leaves the agent with a reset connection."""

    def close(stream: TunnelStream) -> asyncio.Protocol:
        stream.close()
        return asyncio.Protocol()

    async with joined_with(close) as (agent, _):
        near = Recorder()
        open_stream(agent, 8080, StreamForm.RAW, near)
        assert isinstance(await near.lost, ConnectionResetError)


async def test_an_unknown_answer_is_a_reset() -> None:
    """An answer's byte that means nothing is not taken for an acceptance."""

    def answer(stream: TunnelStream) -> asyncio.Protocol:
        stream.write(b"\x07")
        return asyncio.Protocol()

    async with joined_with(answer) as (agent, _):
        near = Recorder()
        open_stream(agent, 8080, StreamForm.RAW, near)
        assert isinstance(await near.lost, ConnectionResetError)
        assert near.log == ["made", "lost"]


@pytest.mark.parametrize("garbage", [b"GET / HTTP/1.1\r\n\r\n", b"\x00\x02{}", b'\x00\x0c{"port":"x"}'])
async def test_garbage_for_a_head_is_reset(garbage: bytes) -> None:
    """What is no head never reaches the handler."""
    handler = _Laptop()
    async with joined_with(accept_streams(handler)) as (agent, _):
        near = Recorder()
        agent.open(near).write(garbage)
        assert isinstance(await near.lost, ConnectionResetError)
        assert handler.streams.empty()


async def test_a_head_that_does_not_come_is_reset() -> None:
    """A stream that is only opened does not stay."""
    async with joined_with(accept_streams(_Laptop(), timeout=0.01)) as (agent, _):
        near = Recorder()
        agent.open(near).write(b"\x00")
        assert isinstance(await near.lost, ConnectionResetError)


def test_a_head_may_come_in_pieces() -> None:
    """A head is known when it is complete, and what follows it is not part of it."""
    head = StreamHead(port=8080, form=StreamForm.RECORDS)
    wire = encode_head(head)
    assert [decode_head(wire[:size]) for size in range(len(wire))] == [None] * len(wire)
    assert decode_head(wire + b"rest") == (head, b"rest")


@pytest.mark.parametrize("port", [0, 65536])
def test_a_head_names_a_port(port: int) -> None:
    """A number that is no port is no head."""
    with pytest.raises(RemoteProtocolError, match="port"):
        decode_head(encode_head(StreamHead(port=port)))


@given(st.binary(max_size=HEAD_LIMIT + 10))
def test_any_bytes_are_a_head_or_a_protocol_error(data: bytes) -> None:
    """Nothing else comes of what the other end sends."""
    try:
        decode_head(data)
    except RemoteProtocolError:
        return
