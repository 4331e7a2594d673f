"""The laptop's side of a stream: read where it leads, then accept it for a local connection, or refuse it."""

import asyncio
from collections.abc import Callable
from typing import cast

from kdev.tunnel.streams import Answer, StreamHead, decode_head
from kdev.tunnel.tunnel_stream import TunnelStream
from kdev.tunnel.yamux.protocol_error import RemoteProtocolError

HEAD_TIMEOUT = 10.0
"""Seconds for a head, which the agent sends in the same turn of its loop as it opens the stream."""


class IncomingStream:
    """A stream that wants to be connected; exactly one of ``accept`` and ``refuse`` is to be called, at any time.

    Until then what the agent sends stays in the stream, where it counts against the stream's window.

    Attributes:
        head: Where it leads.
        stream: Its transport.
    """

    def __init__(self, head: StreamHead, stream: TunnelStream, reader: "_HeadReader") -> None:
        self.head = head
        self.stream = stream
        self._reader = reader

    def accept(self, protocol: asyncio.Protocol) -> None:
        """Tell the agent that the process has taken the connection, and let ``protocol`` serve the stream.

        When the stream has been lost meanwhile, the protocol is told that next.
        """
        self.stream.write(bytes([Answer.ACCEPTED]))
        self._reader.hand_over(protocol)

    def refuse(self) -> None:
        """Tell the agent that the process cannot be reached: nothing of what it sent has been delivered."""
        self.stream.write(bytes([Answer.REFUSED]))
        self.stream.close()


def accept_streams(
    handler: Callable[[IncomingStream], None], *, timeout: float = HEAD_TIMEOUT
) -> Callable[[TunnelStream], asyncio.Protocol]:
    """The acceptor for a laptop's ``Tunnel``.

    Args:
        handler: Called for each stream whose head has arrived.
        timeout: Seconds for the head. A stream without one, or with garbage for it, is reset.
    """
    return lambda stream: _HeadReader(stream, handler, timeout)


class _HeadReader(asyncio.Protocol):
    """Serves a stream until its head is complete, and then keeps its end in mind until another protocol takes over."""

    def __init__(self, stream: TunnelStream, handler: Callable[[IncomingStream], None], timeout: float) -> None:
        self._stream = stream
        self._handler = handler
        self._partial = b""
        self._timer = asyncio.get_running_loop().call_later(timeout, stream.abort)
        self._successor: asyncio.Protocol | None = None
        self._lost: tuple[Exception | None] | None = None

    def data_received(self, data: bytes) -> None:
        self._partial += data
        try:
            decoded = decode_head(self._partial)
        except RemoteProtocolError:
            self._stream.abort()
            return
        if decoded is not None:
            head, rest = decoded
            self._timer.cancel()
            self._stream.pause_reading()
            self._stream.push_back(rest)
            self._handler(IncomingStream(head, self._stream, self))

    def connection_lost(self, exc: Exception | None) -> None:
        self._timer.cancel()
        self._lost = (exc,)

    def hand_over(self, protocol: asyncio.Protocol) -> None:
        """Let ``protocol`` serve the stream from now on."""
        protocol.connection_made(cast("asyncio.BaseTransport", self._stream))
        if self._lost is not None:
            protocol.connection_lost(*self._lost)
        else:
            self._stream.set_protocol(protocol)
            self._stream.resume_reading()
