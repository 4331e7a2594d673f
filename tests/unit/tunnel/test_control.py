"""Messages on the control stream, as bytes and as a channel."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdev.tunnel.control import QUEUE_LIMIT, ControlChannel, control_acceptor
from kdev.tunnel.framing import MESSAGE_LIMIT, MessageReader, encode_message
from kdev.tunnel.messages import (
    Detach,
    Ended,
    FromAgent,
    FromLaptop,
    Listening,
    Mode,
    PodFacts,
    Probe,
    Ready,
    Seen,
    Shadow,
    Step,
)
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.yamux.protocol_error import LocalProtocolError, RemoteProtocolError
from tests.unit.tunnel.ends import Recorder, joined_with

SHADOW = Shadow(
    mode=Mode.STEAL,
    filters=("path=/api/*",),
    ports=(8080,),
    probes=(Probe(port=8080, path="/healthz"),),
    sample=0.5,
    timeout=None,
    owner="alice",
    pod=PodFacts(namespace="staging", name="checkout-1", ip="10.0.0.1"),
)


class _Channels:
    """Both ends of a control stream."""

    def __init__(self) -> None:
        self.laptop: ControlChannel[FromLaptop, FromAgent] = ControlChannel(FromAgent)
        self.agent: ControlChannel[FromAgent, FromLaptop] = ControlChannel(FromLaptop)
        self.tunnel: Tunnel


@asynccontextmanager
async def channels() -> AsyncIterator[_Channels]:
    """A laptop and an agent that can talk."""
    both = _Channels()
    async with joined_with(control_acceptor(both.agent)) as (both.tunnel, _):
        both.tunnel.open(both.laptop)
        await both.laptop.send(Listening(ports=()))
        await anext(both.agent)  # now the stream is open at both ends
        yield both


async def test_messages_arrive_as_they_were_sent() -> None:
    """Each message comes back as its own type, in order, both ways."""
    async with channels() as both:
        await both.laptop.send(SHADOW)
        await both.laptop.send(Listening(ports=(8080,)))
        assert [await anext(both.agent), await anext(both.agent)] == [SHADOW, Listening(ports=(8080,))]
        await both.agent.send(Ready(mesh="istio", direct=2))
        assert await anext(both.laptop) == Ready(mesh="istio", direct=2)


async def test_iteration_ends_with_the_stream() -> None:
    """What was sent before the end is received; then the iteration is over, and nothing can be sent."""
    async with channels() as both:
        both.agent.post(Ended(reason="done"))
        both.agent.close()
        assert [message async for message in both.laptop] == [Ended(reason="done")]
        with pytest.raises(ConnectionError):
            await both.laptop.send(Detach(reason="too late"))


async def test_a_lost_tunnel_fails_the_iteration() -> None:
    """Whoever waits for a message learns that none will come."""
    async with channels() as both, asyncio.TaskGroup() as group:
        waiting = group.create_task(_connection_error(both.laptop))
        await asyncio.sleep(0)
        both.tunnel.close()
        assert isinstance(await waiting, ConnectionResetError)


async def _connection_error(channel: ControlChannel[FromLaptop, FromAgent]) -> ConnectionError:
    with pytest.raises(ConnectionError) as caught:
        await anext(channel)
    return caught.value


async def test_before_there_is_a_stream_nothing_can_be_sent() -> None:
    """A channel that is not connected says so."""
    channel: ControlChannel[FromLaptop, FromAgent] = ControlChannel(FromAgent)
    with pytest.raises(ConnectionError):
        channel.post(Detach(reason="too early"))
    channel.close()


async def test_a_listener_that_falls_behind_slows_the_sender() -> None:
    """Messages are kept up to a limit, then the sender waits; none is lost."""
    detail = "x" * 10_000
    async with channels() as both, asyncio.TaskGroup() as group:

        async def talk() -> None:
            for number in range(4 * QUEUE_LIMIT):
                await both.agent.send(Step(name=str(number), detail=detail))
            both.agent.close()

        talking = group.create_task(talk())
        first = await anext(both.laptop)
        assert not talking.done()
        names = [first.name] if isinstance(first, Step) else []
        names += [message.name async for message in both.laptop if isinstance(message, Step)]
        assert names == [str(number) for number in range(4 * QUEUE_LIMIT)]


@pytest.mark.parametrize(
    ("wire", "complaint"),
    [
        (b'\x00\x00\x00\x13{"type":"nonsense"}', "nonsense"),
        (b'\x00\x00\x00\x0f{"type":"ready"}', "not understood"),
        (b"GET / HTTP/1.1\r\n\r\n", "bytes"),
    ],
    ids=["unknown type", "truncated", "not a message"],
)
async def test_what_is_no_message_fails_the_iteration(wire: bytes, complaint: str) -> None:
    """The complaint says what was seen, and the stream is reset."""
    async with channels() as both:
        assert both.agent._stream is not None
        both.agent._stream.write(wire)
        with pytest.raises(RemoteProtocolError, match=complaint):
            await anext(both.laptop)
        with pytest.raises(ConnectionError):
            await anext(both.agent)


async def test_an_end_inside_a_message_is_a_protocol_error() -> None:
    """Half a message is not the end of a conversation."""
    async with channels() as both:
        assert both.agent._stream is not None
        both.agent._stream.write(encode_message(Ended(reason="done"))[:-1])
        both.agent.close()
        with pytest.raises(RemoteProtocolError, match="inside"):
            await anext(both.laptop)


async def test_the_laptop_opens_no_second_stream() -> None:
    """Only the control stream is the laptop's to open; another is reset."""
    async with channels() as both:
        second = Recorder()
        both.tunnel.open(second)
        assert isinstance(await second.lost, ConnectionResetError)


def test_a_message_too_large_to_send_is_this_ends_fault() -> None:
    """It is refused before a byte of it is sent."""
    with pytest.raises(LocalProtocolError):
        encode_message(Step(name="x", detail="x" * MESSAGE_LIMIT))


def test_a_newer_peers_fields_are_ignored() -> None:
    """A field that this end does not know changes nothing."""
    body = b'{"type":"detach","reason":"x","since":"tomorrow"}'
    reader: MessageReader[FromLaptop] = MessageReader(FromLaptop)
    assert reader.feed(len(body).to_bytes(4, "big") + body) == [Detach(reason="x")]


SEEN = st.builds(
    Seen, port=st.integers(1, 65535), method=st.text(max_size=5), path=st.text(max_size=20), action=st.just("mirrored")
)


@given(st.lists(SEEN, max_size=10), st.lists(st.integers(1, 60)))
def test_messages_survive_any_chunking(messages: list[Seen], sizes: list[int]) -> None:
    """However the bytes are cut on the way, the messages are those that were sent."""
    wire = b"".join(encode_message(message) for message in messages)
    reader: MessageReader[FromAgent] = MessageReader(FromAgent)
    received: list[FromAgent] = []
    for size in sizes:
        received += reader.feed(wire[:size])
        wire = wire[size:]
    received += reader.feed(wire)
    assert received == messages
    assert not reader.inside
