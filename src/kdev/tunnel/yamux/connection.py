"""The state of one yamux connection: bytes in, events out; calls in, bytes out. No I/O, no clock."""

from enum import Enum

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
from kdev.tunnel.yamux.frames import (
    HEADER,
    INITIAL_WINDOW,
    KNOWN_FLAGS,
    LARGEST_WINDOW,
    SESSION,
    VERSION,
    Flag,
    FrameType,
    GoAwayCode,
    encode,
)
from kdev.tunnel.yamux.limits import Limits
from kdev.tunnel.yamux.protocol_error import LocalProtocolError, RemoteProtocolError
from kdev.tunnel.yamux.stream import Stream

_unpack = HEADER.unpack_from
_HEADER_SIZE = HEADER.size
_DATA = int(FrameType.DATA)
_SYN, _ACK, _FIN, _RST = (int(flag) for flag in (Flag.SYN, Flag.ACK, Flag.FIN, Flag.RST))


class Role(Enum):
    """Which stream ids an end gives out (spec.md, "StreamID Field"); the value is the first."""

    CLIENT = 1
    SERVER = 2


class Connection:
    """One end of a yamux connection.

    Give it what arrives (``receive_data``) and act on the events; after any call, send ``data_to_send``.

    Attributes:
        limits: What the other end may do.
        streams: By id, those that have not ended in both directions.
        out: Frames and payloads that wait for ``data_to_send``.
        unread: Bytes announced on all streams and not consumed yet.
    """

    def __init__(self, role: Role, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.streams: dict[int, Stream] = {}
        self.out: list[bytes | memoryview] = []
        self.unread = 0
        self._next = role.value
        self._unanswered = 0
        self._replies = 0
        self._going_away = False
        self._peer_going_away = False
        self._partial = b""
        # The data frame whose payload has not arrived in full: its stream (None: to be discarded), flags, and rest.
        self._body_stream: Stream | None = None
        self._body_flags = 0
        self._body_left = 0

    # ---- what this end does

    @property
    def can_open(self) -> bool:
        """Whether ``open`` would succeed now."""
        return not (
            self._peer_going_away
            or self._going_away
            or self._unanswered >= self.limits.unanswered
            or len(self.streams) >= self.limits.streams
            or self._next > LARGEST_WINDOW
        )

    @property
    def opened(self) -> int:
        """How many streams this end has opened that have not ended in both directions."""
        return sum(stream % 2 == self._next % 2 for stream in self.streams)

    def open(self) -> Stream:
        """Open a stream; it may be written to at once.

        Raises:
            LocalProtocolError: Either end goes away, or a limit is reached.
        """
        if not self.can_open:
            raise LocalProtocolError(f"no stream can be opened now ({len(self.streams)} open)")
        stream = Stream(self, self._next, INITIAL_WINDOW)
        self._next += 2
        self._unanswered += 1
        self.streams[stream.id] = stream
        extra = self.limits.window - INITIAL_WINDOW
        self.out.append(encode(FrameType.WINDOW_UPDATE, Flag.SYN, stream.id, extra))
        return stream

    def ping(self, value: int) -> None:
        """Ask for a ``Pong`` with the same 32-bit value."""
        self.out.append(encode(FrameType.PING, Flag.SYN, SESSION, value))

    def go_away(self, code: GoAwayCode) -> None:
        """Accept and open no more streams, and say why; those that are open go on."""
        self._going_away = True
        self.out.append(encode(FrameType.GO_AWAY, 0, SESSION, code))

    def data_to_send(self) -> bytes:
        """All that waits to be sent, which then waits no more."""
        data = b"".join(self.out)
        self.out.clear()
        self._replies = 0
        return data

    def frames_to_send(self) -> list[bytes | memoryview]:
        """As ``data_to_send``, in parts that have not been joined: for much at once."""
        frames, self.out[:] = self.out[:], ()
        self._replies = 0
        return frames

    def ended(self, stream: Stream) -> None:
        """A stream tells that one of its directions, or with ``gone`` both, have come to an end."""
        if stream.gone or (stream.local_ended and stream.remote_ended):
            self.streams.pop(stream.id, None)
            self._answered(stream)

    def _answered(self, stream: Stream) -> None:
        if stream.id % 2 == self._next % 2 and not stream.acknowledged:
            stream.acknowledged = True
            self._unanswered -= 1

    # ---- what the other end does

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes as they arrived, in any pieces, and tell what they mean.

        Raises:
            RemoteProtocolError: The other end broke the protocol or exceeded a limit. A go-away with that code waits
                in ``data_to_send``; nothing else may be done with the connection.
        """
        events: list[Event] = []
        try:
            self._parse(data, events)
        except RemoteProtocolError:
            self.go_away(GoAwayCode.PROTOCOL_ERROR)
            raise
        return events

    def _parse(self, data: bytes, events: list[Event]) -> None:
        if self._partial:
            data = self._partial + data
            self._partial = b""
        position = self._continue_body(data, events) if self._body_left else 0
        end = len(data)
        streams = self.streams
        while end - position >= _HEADER_SIZE:
            version, frame_type, flags, stream_id, length = _unpack(data, position)
            position += _HEADER_SIZE
            stop = position + length
            # Nearly every frame is a whole one of plain data for a stream that is known.
            if frame_type == _DATA and not flags and version == VERSION and stop <= end and stream_id in streams:
                stream = streams[stream_id]
                stream.take(length)
                if self.unread <= self.limits.buffered:
                    events.append(DataReceived(stream_id, data[position:stop]))
                else:
                    self._reset_greedy(stream, events)
                position = stop
            else:
                self._check(version, flags)
                if frame_type == _DATA:
                    self._begin_body(stream_id, flags, length, events)
                    position += self._continue_body(data[position:stop], events)
                else:
                    self._receive_control(frame_type, flags, stream_id, length, events)
        self._partial = data[position:]

    def _check(self, version: int, flags: int) -> None:
        if version != VERSION:
            raise RemoteProtocolError(f"version {version} of yamux")
        if flags & ~KNOWN_FLAGS:
            raise RemoteProtocolError(f"unknown flags {flags:#06x}")

    # ---- payload that arrives in pieces, or with flags

    def _begin_body(self, stream_id: int, flags: int, length: int, events: list[Event]) -> None:
        stream = self._find(stream_id, flags, events)
        if stream is not None:
            stream.take(length)
            self._acknowledge(stream, flags)
            if self.unread > self.limits.buffered:
                self._reset_greedy(stream, events)
        self._body_stream, self._body_flags, self._body_left = stream, flags, length
        if not length:
            self._end_body(events)

    def _continue_body(self, data: bytes, events: list[Event]) -> int:
        piece = data[: self._body_left]
        if not piece:
            return 0
        self._body_left -= len(piece)
        stream = self._body_stream
        if stream is not None and not stream.gone:
            events.append(DataReceived(stream.id, piece))
        if not self._body_left:
            self._end_body(events)
        return len(piece)

    def _end_body(self, events: list[Event]) -> None:
        stream, self._body_stream = self._body_stream, None
        if stream is not None and not stream.gone:
            self._finish(stream, self._body_flags, events)

    # ---- everything else

    def _receive_control(self, frame_type: int, flags: int, stream_id: int, length: int, events: list[Event]) -> None:
        match frame_type:
            case FrameType.WINDOW_UPDATE:
                self._receive_window_update(stream_id, flags, length, events)
            case FrameType.PING:
                self._receive_ping(stream_id, flags, length, events)
            case FrameType.GO_AWAY:
                self._receive_go_away(stream_id, length, events)
            case _:
                raise RemoteProtocolError(f"unknown frame type {frame_type}")

    def _receive_window_update(self, stream_id: int, flags: int, length: int, events: list[Event]) -> None:
        stream = self._find(stream_id, flags, events)
        if stream is None:
            return
        stream.grant(length, initial=bool(flags & (_SYN | _ACK)))
        self._acknowledge(stream, flags)
        if length and not stream.local_ended:
            events.append(WindowOpened(stream_id))
        self._finish(stream, flags, events)

    def _receive_ping(self, stream_id: int, flags: int, length: int, events: list[Event]) -> None:
        if stream_id != SESSION:
            raise RemoteProtocolError(f"ping on stream {stream_id}")
        if flags & _SYN:
            self._reply(encode(FrameType.PING, Flag.ACK, SESSION, length))
        else:
            events.append(Pong(length))

    def _receive_go_away(self, stream_id: int, length: int, events: list[Event]) -> None:
        if stream_id != SESSION:
            raise RemoteProtocolError(f"go-away on stream {stream_id}")
        try:
            code = GoAwayCode(length)
        except ValueError:
            raise RemoteProtocolError(f"go-away with unknown code {length}") from None
        self._peer_going_away = True
        events.append(WentAway(code))

    # ---- streams

    def _find(self, stream_id: int, flags: int, events: list[Event]) -> Stream | None:
        """The stream that a frame is for, opened if the frame says so; None when it was given up here."""
        if stream_id == SESSION:
            raise RemoteProtocolError("a stream's frame with the session's id")
        if flags & _SYN:
            return self._accept(stream_id, events)
        stream = self.streams.get(stream_id)
        if stream is None and stream_id % 2 == self._next % 2 and stream_id >= self._next:
            # Ids of the other end cannot be judged like this: the reference implementation opens out of order.
            raise RemoteProtocolError(f"a frame for stream {stream_id}, which was never opened")
        return stream

    def _accept(self, stream_id: int, events: list[Event]) -> Stream | None:
        if stream_id % 2 == self._next % 2:
            raise RemoteProtocolError(f"stream {stream_id} opened with an id of this end")
        if stream_id in self.streams:
            raise RemoteProtocolError(f"stream {stream_id} opened twice")
        if self._going_away or len(self.streams) >= self.limits.streams:
            self._reply(encode(FrameType.WINDOW_UPDATE, Flag.RST, stream_id, 0))
            return None
        stream = Stream(self, stream_id, INITIAL_WINDOW)
        stream.acknowledged = True
        self.streams[stream_id] = stream
        extra = self.limits.window - INITIAL_WINDOW
        self._reply(encode(FrameType.WINDOW_UPDATE, Flag.ACK, stream_id, extra))
        events.append(StreamOpened(stream_id))
        return stream

    def _acknowledge(self, stream: Stream, flags: int) -> None:
        if flags & _ACK:
            self._answered(stream)

    def _finish(self, stream: Stream, flags: int, events: list[Event]) -> None:
        if flags & _RST:
            stream.reset_remotely()
            events.append(StreamReset(stream.id))
        elif flags & _FIN:
            stream.end_remotely()
            events.append(StreamEnded(stream.id))

    def _reset_greedy(self, stream: Stream, events: list[Event]) -> None:
        stream.reset()
        self._count_reply()
        events.append(StreamReset(stream.id, f"more than {self.limits.buffered} bytes wait to be consumed"))

    def _reply(self, frame: bytes) -> None:
        self.out.append(frame)
        self._count_reply()

    def _count_reply(self) -> None:
        self._replies += _HEADER_SIZE
        if self._replies > self.limits.replies:
            raise RemoteProtocolError("the other end asks and does not read the answers")
