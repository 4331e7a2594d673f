"""One stream of a tunnel as an asyncio transport: to its protocol it is a connection like any other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from kdev.tunnel.transport import Tunnel
    from kdev.tunnel.yamux.stream import Stream

HIGH_WATER = 64 * 1024
"""Bytes that may wait for the peer's window before the protocol is asked to pause: as asyncio's own transports."""


class TunnelStream(asyncio.Transport):
    """A stream of a tunnel; ``Tunnel`` makes it.

    Reading: bytes go to the protocol as they come; while reading is paused they wait here, at most a window of them,
    and the other end is granted no more. Writing: bytes go out while the peer's window and the carrier have room,
    else they wait here and the protocol is asked to pause.

    ``get_extra_info`` knows ``stream`` (its id), and ``delivered``: how many of the bytes written the other end had
    handed on when it ended or reset the stream, None where nobody knows. What the carrier knows is passed through,
    but for its socket.
    """

    def __init__(self, tunnel: Tunnel, stream: Stream, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self.yamux = stream
        self._tunnel = tunnel
        self._loop = loop
        self._protocol: asyncio.Protocol = asyncio.Protocol()
        self._high, self._low = HIGH_WATER, HIGH_WATER // 4
        self._unsent: deque[bytes | memoryview] = deque()
        self._unsent_size = 0
        self._writing_paused = False
        self._ending = False
        self._closing = False
        self._lost = False
        self._inbox: deque[bytes] = deque()
        self._reading_paused = False
        self._drain_scheduled = False
        self._eof_pending = False
        self._failure: Exception | None = None
        self._left_unread = False
        self._head_size = 0

    # ---- what its user asks: identity

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """See the class; anything else is ``default``."""
        if name == "delivered":
            delivered = self.yamux.delivered
            return None if delivered is None else max(delivered - self._head_size, 0)
        if name == "stream":
            return self.yamux.id
        return default if name == "socket" else self._tunnel.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on ``protocol`` is told what happens; nothing is told twice."""
        self._protocol = cast("asyncio.Protocol", protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        return self._protocol

    def is_closing(self) -> bool:
        """Whether the stream is closed, or about to be when everything written has left."""
        return self._closing

    # ---- what its user asks: reading

    def is_reading(self) -> bool:
        """Whether bytes are passed on."""
        return not self._reading_paused and not self._closing

    def pause_reading(self) -> None:
        """Keep what arrives, and grant the other end no more than its window."""
        self._reading_paused = True

    def resume_reading(self) -> None:
        """Pass on what was kept, from the next turn of the loop on."""
        self._reading_paused = False
        self._schedule_drain()

    def push_back(self, data: bytes) -> None:
        """Give back the tail of what ``data_received`` was called with; it comes again, before anything newer.

        For a protocol that reads a head and hands the stream to another: bytes pushed back do not count as handed on.
        """
        if data:
            self.yamux.consumed(-len(data))
            self._inbox.appendleft(data)
            self._schedule_drain()

    # ---- what its user asks: writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send the bytes, now or as soon as there is room.

        Raises:
            RuntimeError: This direction was ended.
        """
        if self._ending or self.yamux.gone:
            if self._closing or self.yamux.gone:
                return  # as asyncio's transports: whoever writes has not been told yet
            raise RuntimeError("write after half_close")
        kept: bytes | memoryview = data if type(data) is bytes else bytes(data)
        size = len(kept)
        if not self._unsent and not self._tunnel.writing_paused:
            taken = self.yamux.send(kept)
            self._tunnel.frames_added(taken)
            if taken == size:
                return
            kept = memoryview(kept)[taken:]
            size -= taken
        self._unsent.append(kept)
        self._unsent_size += size
        self._tunnel.wait_for_carrier(self)
        if not self._writing_paused and (self._unsent_size > self._high or self._tunnel.writing_paused):
            self._writing_paused = True
            self._call(self._protocol.pause_writing)

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Send all of them, in order."""
        for data in list_of_data:
            self.write(data)

    def exclude_from_delivered(self, size: int) -> None:
        """Count ``size`` of the bytes written as the tunnel's own, not as the user's: the stream's head."""
        self._head_size += size

    def get_write_buffer_size(self) -> int:
        """Bytes that wait for the peer's window or the carrier."""
        return self._unsent_size

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Low and high water."""
        return self._low, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As asyncio's: the protocol is asked to pause above ``high`` and to resume at ``low``."""
        if high is None:
            high = HIGH_WATER if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._high, self._low = high, low

    def can_write_eof(self) -> bool:
        """No: ``half_close`` ends this direction."""
        return False

    # ---- what its user asks: the end

    def half_close(self) -> None:
        """Send what waits, then end this direction; reading goes on until the other end has ended, too."""
        if not self._ending:
            self._ending = True
            if not self._unsent:
                self._end()

    def close(self) -> None:
        """Send what waits, then end; nothing is read any more, and what is left unread is answered by a reset."""
        if self._closing:
            return
        self._closing = True
        self._left_unread = bool(self._inbox)
        self._inbox.clear()
        self.yamux.discard()
        self.half_close()
        if not self._unsent:
            self._lose(None)

    def abort(self) -> None:
        """Reset the stream at once, in both directions."""
        self._reset(None)

    # ---- what the tunnel tells

    def serve(self, acceptor: Callable[[TunnelStream], asyncio.Protocol]) -> None:
        """Begin the life of a stream that the other end opened."""
        self._call(self._begin, acceptor)

    def frame_received(self, data: bytes) -> None:
        """Bytes arrived."""
        if self._closing:
            self._left_unread = True  # what waits to be sent shall still arrive before the reset
        elif self._reading_paused or self._inbox:
            self._inbox.append(data)
        else:
            self._pass_on(data)

    def end_received(self) -> None:
        """The other end has ended its direction."""
        self._eof_pending = True
        self._pass_on_eof()

    def reset_received(self, reason: str) -> None:
        """The other end has reset the stream, or a limit did."""
        failure = ConnectionResetError(reason or "the other end of the tunnel reset the stream")
        if self._eof_pending and not self._closing:
            # It had said everything before, to a protocol that has paused: what was said shall still be heard.
            self._failure = failure
            self._ending = True
            self._unsent.clear()
            self._unsent_size = 0
        else:
            self.lose(failure)

    def send_some(self, quantum: int) -> bool:
        """Send at most ``quantum`` bytes of what waits, and return whether more could go."""
        while self._unsent and quantum > 0:
            data = self._unsent[0]
            piece = data if len(data) <= quantum else memoryview(data)[:quantum]
            taken = self.yamux.send(piece)
            self._tunnel.frames_added(taken)
            self._unsent_size -= taken
            quantum -= taken
            if taken < len(data):
                self._unsent[0] = memoryview(data)[taken:]
                if taken < len(piece):
                    break
            else:
                self._unsent.popleft()
        self._after_sending()
        return bool(self._unsent) and self.yamux.send_window > 0

    def lose(self, exc: Exception | None) -> None:
        """The stream is gone: forget what waits, and tell the protocol, except when it has closed by itself."""
        self._closing = self._ending = True
        self._unsent.clear()
        self._unsent_size = 0
        self._inbox.clear()
        self.yamux.discard()
        self._lose(exc)

    # ---- inside

    def _begin(self, acceptor: Callable[[TunnelStream], asyncio.Protocol]) -> None:
        self._protocol = acceptor(self)
        self._protocol.connection_made(self)

    def _pass_on(self, data: bytes) -> None:
        # Before the protocol sees them: when it closes the stream in reply, they must have been counted.
        self.yamux.consumed(len(data))
        self._call(self._protocol.data_received, data)

    def _pass_on_eof(self) -> None:
        if not self._eof_pending or self._inbox or self._reading_paused or self._closing:
            return
        self._eof_pending = False
        try:
            keep_open = self._protocol.eof_received()
        except Exception as error:  # noqa: BLE001 - reported, and the stream reset, as asyncio's transports do
            self._fail(error)
        else:
            if self._failure is not None:
                self.lose(self._failure)
            elif not keep_open:
                self.close()

    def _schedule_drain(self) -> None:
        if (self._inbox or self._eof_pending) and not self._drain_scheduled:
            self._drain_scheduled = True
            self._loop.call_soon(self._drain)

    def _drain(self) -> None:
        self._drain_scheduled = False
        while self._inbox and not self._reading_paused:
            self._pass_on(self._inbox.popleft())
        self._tunnel.frames_added(0)  # the credit that this may have given back
        self._pass_on_eof()

    def _after_sending(self) -> None:
        if self._unsent:
            if self._writing_paused and self._unsent_size <= self._low and not self._tunnel.writing_paused:
                self._resume_writing()
            return
        if self._ending:
            self._end()
        if self._closing:
            self._lose(None)
        elif self._writing_paused:
            self._resume_writing()

    def _resume_writing(self) -> None:
        self._writing_paused = False
        self._call(self._protocol.resume_writing)

    def _end(self) -> None:
        self.yamux.end()
        self._tunnel.frames_added(0)

    def _reset(self, exc: Exception | None) -> None:
        self.yamux.reset()
        self._tunnel.frames_added(0)
        self.lose(exc)

    def _lose(self, exc: Exception | None) -> None:
        if not self._lost:
            self._lost = True
            if self._left_unread:
                # The other end waits for credit that nobody will give; it hears what was sent before (RFC 9293, 3.6.1).
                self.yamux.reset()
            self._tunnel.stream_lost(self)
            self._loop.call_soon(self._call, self._protocol_lost, exc)

    def _protocol_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)

    def _call(self, callback: Any, *arguments: Any) -> None:
        try:
            callback(*arguments)
        except Exception as error:  # noqa: BLE001 - reported, and the stream reset, as asyncio's transports do
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._loop.call_exception_handler(
            {"message": "a protocol of a tunnel's stream failed", "exception": error, "transport": self}
        )
        self._reset(error)
