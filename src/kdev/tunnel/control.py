"""The control stream: messages of the session protocol, both ways, on the first stream that the laptop opens."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Generic, TypeVar, cast

from kdev.tunnel.framing import MessageReader, encode_message
from kdev.tunnel.messages import Message
from kdev.tunnel.tunnel_stream import TunnelStream
from kdev.tunnel.yamux.protocol_error import RemoteProtocolError

CONTROL_STREAM = 1
"""The laptop is yamux's client, and opens this stream before the agent may open any."""

QUEUE_LIMIT = 256
"""Messages received and not yet asked for, above which reading pauses: an iterator that is busy for a second does not
stop a target's live lines."""

Sent = TypeVar("Sent", bound=Message)
Received = TypeVar("Received", bound=Message)


class ControlChannel(asyncio.Protocol, Generic[Sent, Received]):
    """The protocol of the control stream: iterate over it for what is received.

    The iteration ends when the other end has ended the stream.

    Args:
        union: The messages that may be received: ``FromAgent`` on the laptop, ``FromLaptop`` in the agent.
    """

    def __init__(self, union: object) -> None:
        self._reader: MessageReader[Received] = MessageReader(union)
        self._stream: TunnelStream | None = None
        self._queue: deque[Received] = deque()
        self._ended = False
        self._failure: Exception | None = None
        self._changed = asyncio.Event()
        self._writable = asyncio.Event()

    def post(self, message: Sent) -> None:
        """Send a message without waiting: for few, or for those that a caller bounds.

        Raises:
            ConnectionError: There is no stream, or no longer.
        """
        if self._stream is None or self._stream.is_closing():
            raise ConnectionResetError("the control stream is not open") from self._failure
        self._stream.write(encode_message(message))

    async def send(self, message: Sent) -> None:
        """Send a message, and wait until there is room for another.

        Raises:
            ConnectionError: There is no stream, or no longer.
        """
        self.post(message)
        await self._writable.wait()

    def close(self) -> None:
        """Send what waits, then end the stream."""
        if self._stream is not None:
            self._stream.close()

    def __aiter__(self) -> AsyncIterator[Received]:
        return self

    async def __anext__(self) -> Received:
        """The next message.

        Raises:
            ConnectionError: The stream was reset, or the tunnel is gone.
            RemoteProtocolError: What was received is no message.
        """
        while not self._queue:
            if self._failure is not None:
                raise self._failure
            if self._ended:
                raise StopAsyncIteration
            self._changed.clear()
            await self._changed.wait()
        message = self._queue.popleft()
        if len(self._queue) == QUEUE_LIMIT // 2 and self._stream is not None:
            self._stream.resume_reading()
        return message

    # ---- what the stream tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The stream is open."""
        self._stream = cast("TunnelStream", transport)
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Messages, or pieces of them."""
        assert self._stream is not None
        try:
            self._queue.extend(self._reader.feed(data))
        except RemoteProtocolError as error:
            self._failure = error
            self._stream.abort()
        if len(self._queue) > QUEUE_LIMIT:
            self._stream.pause_reading()
        self._changed.set()

    def eof_received(self) -> None:
        """The other end says no more; the stream closes."""
        if self._reader.inside:
            self._failure = RemoteProtocolError("the control stream ended inside a message")

    def pause_writing(self) -> None:
        """No room for now."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Room again."""
        self._writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is gone."""
        self._ended = True
        self._failure = self._failure or exc
        self._changed.set()
        self._writable.set()


def control_acceptor(channel: asyncio.Protocol) -> Callable[[TunnelStream], asyncio.Protocol]:
    """The acceptor for an agent's ``Tunnel``: the laptop opens the control stream, and no other."""

    def accept(stream: TunnelStream) -> asyncio.Protocol:
        if stream.get_extra_info("stream") == CONTROL_STREAM:
            return channel
        stream.abort()
        return asyncio.Protocol()

    return accept
