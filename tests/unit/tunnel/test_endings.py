"""Many streams that end in every way at once: nothing is left of them at either end."""

import asyncio
import random
from typing import cast

from kdev.tunnel.half_close import half_close
from kdev.tunnel.stream_accepting import IncomingStream, accept_streams
from kdev.tunnel.stream_opening import open_stream
from kdev.tunnel.streams import StreamForm
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.tunnel_stream import TunnelStream
from tests.unit.tunnel.ends import Recorder, joined_with


class _Echo(asyncio.Protocol):
    """Sends everything back until the other end has ended."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


async def test_nothing_is_left_of_streams_that_ended() -> None:
    """Refused, accepted, reset, closed and half-closed in any combination, each stream is forgotten at both ends."""
    chance = random.Random(3)

    def handle(incoming: IncomingStream) -> None:
        match chance.randrange(5):
            case 0:
                incoming.refuse()
            case 1:
                incoming.stream.abort()
            case way:
                incoming.accept(_Echo())
                if way == 2:
                    incoming.stream.close()

    async def come_and_go(agent: Tunnel) -> None:
        for _ in range(40):
            protocol = Recorder()
            stream = open_stream(agent, 8080, StreamForm.RAW, protocol)
            stream.write(b"x" * chance.choice((1, 100, 400_000)))
            await asyncio.sleep(0)
            chance.choice((TunnelStream.abort, TunnelStream.close, half_close))(stream)
            await protocol.lost

    async with joined_with(accept_streams(handle)) as tunnels:
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(come_and_go(tunnels[0]))
        async with asyncio.timeout(10):
            while any(tunnel._yamux.streams for tunnel in tunnels):  # noqa: ASYNC110 - the last frames are on their way
                await asyncio.sleep(0.001)
        for tunnel in tunnels:
            assert (tunnel._yamux.unread, tunnel._yamux._unanswered) == (0, 0)
            assert [len(kept) for kept in (tunnel._streams, tunnel._lingering, tunnel._waiting)] == [0, 0, 0]
