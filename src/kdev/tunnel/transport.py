"""The tunnel: many streams over one byte stream, as an asyncio protocol.

The byte stream, called the carrier, is any asyncio transport: a socket's, or an adapter over a WebSocket. All frames
that come into being in one turn of the loop leave in one ``write`` to it.

Back-pressure is kept end to end. A stream whose reader pauses withholds credit, so its writer pauses and no other is
slowed; when the carrier pauses, each stream that writes is paused with its next write, and afterwards those with
something to send have turns of one frame each.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, cast

from kdev.tunnel.tunnel_stream import TunnelStream
from kdev.tunnel.yamux.connection import Connection, Role
from kdev.tunnel.yamux.events import (
    DataReceived,
    Event,
    Pong,
    StreamEnded,
    StreamOpened,
    StreamReset,
    WentAway,
    WindowOpened,
)
from kdev.tunnel.yamux.frames import HEADER, GoAwayCode
from kdev.tunnel.yamux.keep_alive import KeepAlive, Verdict
from kdev.tunnel.yamux.limits import Limits
from kdev.tunnel.yamux.protocol_error import RemoteProtocolError
from kdev.tunnel.yamux.stream import Stream

FLUSH_AT = 256 * 1024
"""Bytes that are handed to the carrier without waiting for the turn's end: what it then says about pausing bounds
what is copied at once."""

JOIN_BELOW = 32 * 1024
"""Bytes that are cheaper to join for one write than to hand over part by part; a large transfer is
half as fast again without joining its frames."""

LINGER = 60.0
"""Seconds that a stream closed here may stay half open before it is reset: an application that was sent the end of a
request and neither answers nor closes for so long will not."""

FAREWELL = 5.0
"""Seconds that a carrier may take to send the last frames before it is aborted: its other end may not be reading."""

Acceptor = Callable[[TunnelStream], asyncio.Protocol]
"""Given each stream that the other end opens; returns the protocol that serves it."""


def refuse_streams(stream: TunnelStream) -> asyncio.Protocol:
    """The acceptor of an end that expects no streams: each is reset."""
    stream.abort()
    return asyncio.Protocol()


class Tunnel(asyncio.Protocol):
    """One end of a tunnel; the protocol of its carrier.

    Attributes:
        writing_paused: Whether the carrier takes no more for now.
        lost: Done when the carrier is gone: None after ``close`` or a clean end, else the reason.
    """

    def __init__(
        self,
        role: Role,
        acceptor: Acceptor = refuse_streams,
        *,
        limits: Limits | None = None,
        keep_alive: KeepAlive | None = None,
    ) -> None:
        self.writing_paused = False
        self._loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[Exception | None] = self._loop.create_future()
        self._acceptor = acceptor
        self._yamux = Connection(role, limits)
        self._keep_alive = keep_alive or KeepAlive()
        self._carrier: asyncio.Transport | None = None
        self._streams: dict[int, TunnelStream] = {}
        self._waiting: OrderedDict[TunnelStream, None] = OrderedDict()
        self._lingering: dict[int, tuple[float, Stream]] = {}
        self._added = 0
        self._flush_scheduled = False
        self._receiving = False
        self._timer: asyncio.TimerHandle | None = None
        self._failure: Exception | None = None
        self._none_open = asyncio.Event()
        self._idle_awaited = False

    # ---- what its user asks

    @property
    def can_open(self) -> bool:
        """Whether ``open`` would succeed now."""
        return self._carrier is not None and not self._carrier.is_closing() and self._yamux.can_open

    @property
    def round_trip(self) -> float | None:
        """Seconds to the other end and back as last measured; None before the first answer."""
        return self._keep_alive.round_trip

    @property
    def streams(self) -> int:
        """How many streams that were opened here have not ended in both directions, at both ends."""
        return 0 if self._carrier is None else self._yamux.opened

    async def idle(self) -> None:
        """Wait until ``streams`` is 0, as it is also when the tunnel is gone; the caller sets the bound."""
        while self.streams:
            self._idle_awaited = True
            self._none_open.clear()
            await self._none_open.wait()

    def open(self, protocol: asyncio.Protocol) -> TunnelStream:
        """Open a stream; ``protocol.connection_made`` has been called when this returns.

        Raises:
            ConnectionError: There is no carrier.
            LocalProtocolError: A limit is reached, or either end goes away; see ``can_open``.
        """
        if self._carrier is None or self._carrier.is_closing():
            raise ConnectionError("the tunnel is not connected")
        stream = TunnelStream(self, self._yamux.open(), self._loop)
        self._streams[stream.yamux.id] = stream
        self.frames_added(0)
        stream.set_protocol(protocol)
        protocol.connection_made(stream)
        return stream

    def go_away(self) -> None:
        """Accept no more streams; those that are open go on."""
        self._yamux.go_away(GoAwayCode.NORMAL)
        self.frames_added(0)

    def close(self) -> None:
        """Say goodbye, and close the carrier when what it was given has left; streams that are open are lost."""
        if self._carrier is not None:
            self._yamux.go_away(GoAwayCode.NORMAL)
            self._end(None)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the carrier knows."""
        return default if self._carrier is None else self._carrier.get_extra_info(name, default)

    # ---- what the carrier tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The carrier is ready: streams can be opened."""
        self._carrier = cast("asyncio.Transport", transport)
        self._timer = self._loop.call_later(self._keep_alive.interval, self._tick)

    def data_received(self, data: bytes) -> None:
        """Frames arrived; what they cause leaves together."""
        if self._carrier is None:
            return
        self._keep_alive.heard()
        try:
            events = self._yamux.receive_data(data)
        except RemoteProtocolError as error:
            self._end(error)
            return
        self._receiving = True
        try:
            self._dispatch(events)
        finally:
            self._receiving = False
        if self._waiting:
            self._pump()
        if self._yamux.out or self._idle_awaited:
            self._flush()

    def pause_writing(self) -> None:
        """The carrier takes no more for now."""
        self.writing_paused = True

    def resume_writing(self) -> None:
        """The carrier takes more: those who wait have turns."""
        self.writing_paused = False
        self._flush()
        self._pump()
        self._flush()

    def eof_received(self) -> None:
        """The other end is gone: the carrier closes by itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The carrier is gone, and with it every stream."""
        self._failure = self._failure or exc
        self._lose_streams()
        if self._timer is not None:
            self._timer.cancel()
        self.lost.set_result(self._failure)

    # ---- what the streams tell

    def frames_added(self, size: int) -> None:
        """Frames with ``size`` bytes of payload wait to be sent."""
        self._added += size + HEADER.size
        if self._added >= FLUSH_AT:
            self._flush()
        elif not self._receiving and not self._flush_scheduled:
            self._flush_scheduled = True
            self._loop.call_soon(self._flush_turn)

    def wait_for_carrier(self, stream: TunnelStream) -> None:
        """A stream has bytes that could not be sent now."""
        if self.writing_paused and stream.yamux.send_window:
            self._waiting[stream] = None

    def stream_lost(self, stream: TunnelStream) -> None:
        """A stream's user is done with it; the other end may not be."""
        self._streams.pop(stream.yamux.id, None)
        if stream.yamux.id in self._yamux.streams:
            self._lingering[stream.yamux.id] = (time.monotonic() + LINGER, stream.yamux)

    # ---- inside

    def _dispatch(self, events: list[Event]) -> None:
        streams = self._streams
        for event in events:
            if type(event) is DataReceived:
                stream = streams.get(event.stream)
                if stream is not None:
                    stream.frame_received(event.data)
                else:
                    self._answer_late_data(event.stream)
            else:
                self._dispatch_rare(event)

    def _dispatch_rare(self, event: Event) -> None:
        match event:
            case StreamOpened(stream=stream):
                self._accept(stream)
            case WindowOpened(stream=stream):
                if stream in self._streams:
                    self._waiting[self._streams[stream]] = None
            case StreamEnded(stream=stream):
                self._lingering.pop(stream, None)
                if stream in self._streams:
                    self._streams[stream].end_received()
            case StreamReset(stream=stream, reason=reason):
                self._lingering.pop(stream, None)
                if stream in self._streams:
                    self._streams[stream].reset_received(reason)
            case Pong(value=value):
                self._keep_alive.answered(value, time.monotonic())
            case WentAway(code=code):
                if code is not GoAwayCode.NORMAL:
                    self._end(RemoteProtocolError(f"the other end gave up: {code.name.lower()}"))

    def _accept(self, stream_id: int) -> None:
        if stream_id not in self._yamux.streams:
            return  # opened and reset by the same bytes
        stream = TunnelStream(self, self._yamux.streams[stream_id], self._loop)
        self._streams[stream_id] = stream
        stream.serve(self._acceptor)

    def _answer_late_data(self, stream_id: int) -> None:
        lingering = self._lingering.pop(stream_id, None)
        if lingering is not None:
            lingering[1].reset()

    def _pump(self) -> None:
        quantum = self._yamux.limits.frame
        while self._waiting and not self.writing_paused:
            stream, _ = self._waiting.popitem(last=False)
            if stream.send_some(quantum):
                self._waiting[stream] = None

    def _flush_turn(self) -> None:
        self._flush_scheduled = False
        self._flush()

    def _flush(self) -> None:
        """Hand the frames to the carrier, unless it is full: acknowledgements and credit can wait as well."""
        added, self._added = self._added, 0
        if self._idle_awaited and not self.streams:
            self._tell_idle()  # each end of a stream is a frame, sent or received: the last was among these
        carrier = self._carrier
        if self._yamux.out and not self.writing_paused and carrier is not None and not carrier.is_closing():
            if added < JOIN_BELOW:
                carrier.write(self._yamux.data_to_send())
            else:
                carrier.writelines(self._yamux.frames_to_send())

    def _tick(self) -> None:
        now = time.monotonic()
        self._reset_lingering(now)
        if self._keep_alive.tick(now) is Verdict.DEAD:
            self._end(ConnectionResetError("the other end of the tunnel does not answer"))
            return
        self._yamux.ping(self._keep_alive.value)
        self._flush()
        self._timer = self._loop.call_later(self._keep_alive.interval, self._tick)

    def _reset_lingering(self, now: float) -> None:
        for stream_id, (deadline, stream) in list(self._lingering.items()):
            if deadline <= now:
                del self._lingering[stream_id]
                stream.reset()

    def _end(self, failure: Exception | None) -> None:
        """End it from here: ``failure`` is why, unless its user asked for it."""
        carrier = self._carrier
        if carrier is None:
            return
        self._failure = failure
        self._lose_streams()
        if self._timer is not None:
            self._timer.cancel()
        if isinstance(failure, ConnectionResetError):
            carrier.abort()
        else:
            carrier.write(self._yamux.data_to_send())
            carrier.close()
            self._timer = self._loop.call_later(FAREWELL, carrier.abort)

    def _lose_streams(self) -> None:
        self._carrier = None
        for stream in list(self._streams.values()):
            reason = ConnectionResetError("the tunnel is gone")
            reason.__cause__ = self._failure
            stream.lose(reason)
        self._lingering.clear()
        self._waiting.clear()
        self._tell_idle()

    def _tell_idle(self) -> None:
        self._idle_awaited = False
        self._none_open.set()
