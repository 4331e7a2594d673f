"""An HTTP/2 connection of kdev's own to a server: the developer's process, or the pod once more.

The splice is the client here. Stream identifiers, windows and settings are this connection's own, so that it can be
opened, refused, told to go away and replaced without the caller noticing. It keeps no dynamic header table in either
direction: header blocks go in and come out as they are. Without I/O: ``receive`` takes bytes, ``out`` collects them.
"""

from collections import deque
from typing import Any, Final, NamedTuple, Protocol

from kdev.proxy.http2.frames import (
    ACK,
    CANCEL,
    DATA,
    DEFAULT_WINDOW,
    ENABLE_PUSH,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    FRAME_LIMIT,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEAD_SIZE,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST,
    MAX_CONCURRENT_STREAMS,
    PING,
    PREFACE,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    HeaderBlock,
    Http2Error,
    frame,
    header_frames,
    number,
    parse_settings,
    read_header_block,
    reset,
    settings,
    unpack_head,
    window_update,
)
from kdev.proxy.http2.header_blocks import StatelessBlocks
from kdev.proxy.http2.header_fields import SizeUpdateMark

STREAM_WINDOW: Final = 256 * 1024
"""Answer bytes one stream may have unread here: 5 MB/s for one stream to a laptop 50 ms away."""

CONNECTION_WINDOW: Final = 1024 * 1024
"""Answer bytes that may be on their way; given back on arrival, so that a slow stream stops no other."""

UNREAD_LIMIT: Final = 4 * 1024 * 1024
"""Answer bytes that callers have not taken yet, of all streams: beyond it nothing more is given back."""

CONCURRENT_AT_FIRST: Final = 100
"""Streams opened before the server's SETTINGS tell how many it takes (the least RFC 9113, 6.5.2 recommends)."""


class _Part(NamedTuple):
    """A piece of a request: DATA, or trailers if ``cost`` is None."""

    payload: bytes
    cost: int | None
    end: bool


class OriginStream:
    """One request and its answer.

    Attributes:
        owner: Whatever the caller hangs on it.
        id: On this connection; 0 while the stream waits for its turn.
        offset: Bytes written to the connection before the request's first one.
        answered: Whether a header block has come back.
        closed: Whether it was cancelled, reset or refused.
    """

    __slots__ = (
        "answer_ended",
        "answered",
        "block",
        "closed",
        "id",
        "offset",
        "owner",
        "parts",
        "request_ended",
        "unread",
        "unreturned",
        "window",
    )

    def __init__(self, owner: Any, block: bytes, *, end: bool) -> None:
        self.owner = owner
        self.id = 0
        self.offset = 0
        self.block = block
        self.parts: deque[_Part] = deque()
        self.window = 0
        self.request_ended = end
        self.answered = False
        self.closed = False
        self.answer_ended = False
        self.unread = 0
        self.unreturned = 0


class Answers(Protocol):
    """What becomes of the streams; called in the order in which things happen."""

    def passed_on(self, stream: OriginStream, cost: int, /) -> None:
        """``cost`` bytes given to ``send`` have been written."""

    def answer_headers(self, stream: OriginStream, block: bytes, flags: int, /) -> None:
        """An interim or final answer's header block, or trailers; the block stands for itself."""

    def answer_data(self, stream: OriginStream, data_frame: bytes, cost: int, flags: int, /) -> None:
        """A DATA frame as the server made it; ``read`` is to be called for its ``cost`` some time."""

    def answer_reset(self, stream: OriginStream, code: int, /, *, unprocessed: bool) -> None:
        """The stream is gone; ``unprocessed`` if the server said that it has not looked at the request."""


class OriginConnection:
    """The client's side of one HTTP/2 connection.

    Attributes:
        out: Bytes to be written; whoever writes them clears it.
        going_away: No new streams: the server has said so, or the identifiers are used up.
        waiting: Streams that wait for the server to take more of them at a time.
        writable: False while the transport has enough to write; DATA then waits.
    """

    def __init__(self, answers: Answers) -> None:
        self.out: list[bytes] = [
            PREFACE,
            settings({HEADER_TABLE_SIZE: 0, ENABLE_PUSH: 0, INITIAL_WINDOW_SIZE: STREAM_WINDOW}),
            window_update(0, CONNECTION_WINDOW - DEFAULT_WINDOW),
        ]
        self.going_away = False
        self.waiting: deque[OriginStream] = deque()
        self.writable = True
        self._answers = answers
        self._streams: dict[int, OriginStream] = {}
        self._next_id = 1
        self._written = sum(map(len, self.out))
        self._rest = b""
        self._mark = SizeUpdateMark()
        self._blocks = StatelessBlocks()
        self._concurrent = CONCURRENT_AT_FIRST
        self._window = self._initial_window = DEFAULT_WINDOW
        self._receivable, self._owed, self._unread = CONNECTION_WINDOW, 0, 0

    @property
    def streams(self) -> list[OriginStream]:
        """All streams that have begun and not ended, and those that wait."""
        return [*self._streams.values(), *self.waiting]

    @property
    def idle(self) -> bool:
        """Whether no stream is left."""
        return not self._streams and not self.waiting

    # ---- requests

    def request(self, owner: Any, block: bytes, *, end: bool) -> OriginStream:
        """Begin a request, at once or when the server takes one more."""
        stream = OriginStream(owner, block, end=end)
        if self._has_room():
            self._start(stream)
        else:
            self.waiting.append(stream)
        return stream

    def send(self, stream: OriginStream, payload: bytes, cost: int, *, end: bool) -> None:
        """Send DATA; ``cost`` is what ``passed_on`` will tell of it, for the caller's own windows."""
        if stream.closed:
            return self._answers.passed_on(stream, cost)
        stream.request_ended = stream.request_ended or end
        size = len(payload)
        if stream.id and not stream.parts and self.writable and size <= min(stream.window, self._window, FRAME_LIMIT):
            stream.window -= size
            self._window -= size
            self._write(frame(DATA, END_STREAM if end else 0, stream.id, payload))
            self._answers.passed_on(stream, cost)
            return self._retire(stream)
        stream.parts.append(_Part(payload, cost, end))
        return self._drain(stream)

    def send_trailers(self, stream: OriginStream, block: bytes) -> None:
        """Send trailers, which end the request."""
        stream.request_ended = True
        stream.parts.append(_Part(block, None, end=True))
        self._drain(stream)

    def cancel(self, stream: OriginStream, code: int = CANCEL) -> None:
        """End a stream that nobody wants any more; what it has not sent is given back by ``passed_on``."""
        if stream.id in self._streams:
            self._write(reset(stream.id, code))
        self._drop(stream)
        self._start_waiting()

    def read(self, stream: OriginStream, cost: int) -> None:
        """Give back the window of ``cost`` bytes of answer that have been taken."""
        cost = min(cost, stream.unread)
        stream.unread -= cost
        self._unread -= cost
        self._return_window()
        if not stream.answer_ended and stream.id in self._streams:
            stream.unreturned += cost
            if stream.unreturned >= STREAM_WINDOW // 4:
                self._write(window_update(stream.id, stream.unreturned))
                stream.unreturned = 0

    def resume(self) -> None:
        """Write on: the transport takes more again."""
        self.writable = True
        self._drain_all()

    def _has_room(self) -> bool:
        return self.writable and not self.going_away and len(self._streams) < self._concurrent

    def _start(self, stream: OriginStream) -> None:
        stream.id, self._next_id = self._next_id, self._next_id + 2
        self.going_away = self._next_id > LARGEST
        stream.offset, stream.window = self._written, self._initial_window
        self._streams[stream.id] = stream
        ended = stream.request_ended and not stream.parts
        block = self._mark.apply(stream.block)
        self._write(header_frames(HEADERS, END_STREAM if ended else 0, stream.id, block))
        self._drain(stream)

    def _start_waiting(self) -> None:
        while self.waiting and self._has_room():
            self._start(self.waiting.popleft())

    def _write(self, data: bytes) -> None:
        self._written += len(data)
        self.out.append(data)

    def _drain(self, stream: OriginStream) -> None:
        """Send what waits of a request, as far as the windows allow."""
        while stream.parts and stream.id in self._streams:
            payload, cost, end = stream.parts[0]
            if cost is None:
                stream.parts.popleft()
                self._write(header_frames(HEADERS, END_STREAM, stream.id, payload))
                continue
            size = min(len(payload), stream.window, self._window, FRAME_LIMIT)
            if not self.writable or (size <= 0 and payload):
                return
            size, rest = max(size, 0), payload[size:]
            if rest:
                spent = min(cost, size)
                stream.parts[0] = _Part(rest, cost - spent, end)
                cost = spent
            else:
                stream.parts.popleft()
            stream.window -= size
            self._window -= size
            self._write(frame(DATA, END_STREAM if end and not rest else 0, stream.id, payload[:size]))
            self._answers.passed_on(stream, cost)
        self._retire(stream)

    def _drain_all(self) -> None:
        self._start_waiting()
        for stream in list(self._streams.values()):
            if stream.parts:
                self._drain(stream)

    def _retire(self, stream: OriginStream) -> None:
        if stream.answer_ended and stream.request_ended and not stream.parts:
            self._streams.pop(stream.id, None)
            self._start_waiting()

    def _drop(self, stream: OriginStream) -> None:
        """Forget a stream; its caller gets back the windows of what was not sent and of what was not read."""
        stream.closed = True
        if stream.id:
            self._streams.pop(stream.id, None)
        elif stream in self.waiting:
            self.waiting.remove(stream)
        unsent = sum(part.cost or 0 for part in stream.parts)
        stream.parts.clear()
        self._unread -= stream.unread
        stream.unread = 0
        if unsent:
            self._answers.passed_on(stream, unsent)

    # ---- answers

    def receive(self, data: bytes) -> None:
        """Take bytes of the server.

        Raises:
            Http2Error: The server broke the protocol; the connection is of no more use.
        """
        if self._rest:
            data = self._rest + data
        offset, end = 0, len(data)
        while end - offset >= HEAD_SIZE:
            high, low, kind, flags, stream_id = unpack_head(data, offset)
            length = high << 8 | low
            if length > FRAME_LIMIT:
                raise Http2Error(FRAME_SIZE_ERROR, "a frame above SETTINGS_MAX_FRAME_SIZE")
            stop = offset + HEAD_SIZE + length
            if stop > end:
                break
            if kind == HEADERS:
                block = read_header_block(data, offset)
                if block is None:
                    break
                self._headers(stream_id, block, flags)
                stop = block.stop
            elif kind == DATA:
                self._data(stream_id, data[offset:stop], length, flags)
            elif stream_id == 0:
                self._control(kind, flags, data[offset + HEAD_SIZE : stop])
            else:
                self._about_stream(kind, stream_id, data[offset + HEAD_SIZE : stop])
            offset = stop
        self._rest = data[offset:]

    def _headers(self, stream_id: int, block: HeaderBlock, flags: int) -> None:
        _, fragment = self._blocks.read(block.fragment)
        stream = self._streams.get(stream_id)
        if stream is None or stream.answer_ended:
            return
        stream.answered, stream.answer_ended = True, bool(flags & END_STREAM)
        self._answers.answer_headers(stream, fragment, flags)
        self._retire(stream)

    def _data(self, stream_id: int, data_frame: bytes, cost: int, flags: int) -> None:
        self._receivable -= cost
        self._owed += cost
        if self._receivable < 0:
            raise Http2Error(FLOW_CONTROL_ERROR, "more DATA than the connection's window")
        stream = self._streams.get(stream_id)
        if stream is not None and not stream.answer_ended:
            if not stream.answered:
                raise Http2Error(PROTOCOL_ERROR, "DATA before an answer's HEADERS")
            stream.answer_ended = bool(flags & END_STREAM)
            stream.unread += cost
            self._unread += cost
            self._answers.answer_data(stream, data_frame, cost, flags)
            self._retire(stream)
        self._return_window()

    def _return_window(self) -> None:
        if self._owed >= CONNECTION_WINDOW // 4 and self._unread <= UNREAD_LIMIT:
            self._write(window_update(0, self._owed))
            self._receivable += self._owed
            self._owed = 0

    def _about_stream(self, kind: int, stream_id: int, payload: bytes) -> None:
        stream = self._streams.get(stream_id)
        if kind == PUSH_PROMISE:
            raise Http2Error(PROTOCOL_ERROR, "a promise, though SETTINGS_ENABLE_PUSH is 0")
        if stream is None:
            return
        if kind == WINDOW_UPDATE:
            stream.window += _increment(payload)
            self._drain(stream)
        elif kind == RST_STREAM:
            code = number(payload, 0)
            self._drop(stream)
            self._answers.answer_reset(stream, code, unprocessed=code == REFUSED_STREAM)
            self._start_waiting()

    def _control(self, kind: int, flags: int, payload: bytes) -> None:
        if kind == SETTINGS and not flags & ACK:
            self._settings(parse_settings(payload))
        elif kind == PING and not flags & ACK:
            self._write(frame(PING, ACK, 0, payload))
        elif kind == WINDOW_UPDATE:
            self._window += _increment(payload)
            self._drain_all()
        elif kind == GOAWAY:
            self._go_away(number(payload, 0))

    def _settings(self, values: dict[int, int]) -> None:
        self._write(frame(SETTINGS, ACK, 0))
        self._mark.due = self._mark.due or HEADER_TABLE_SIZE in values
        self._concurrent = values.get(MAX_CONCURRENT_STREAMS, self._concurrent)
        initial = values.get(INITIAL_WINDOW_SIZE, self._initial_window)
        change, self._initial_window = initial - self._initial_window, initial
        for stream in self._streams.values():
            stream.window += change
        self._drain_all()

    def _go_away(self, last: int) -> None:
        self.going_away = True
        lost = [stream for stream in self._streams.values() if stream.id > last]
        lost += self.waiting
        for stream in lost:
            self._drop(stream)
            self._answers.answer_reset(stream, REFUSED_STREAM, unprocessed=True)


def _increment(payload: bytes) -> int:
    increment = number(payload, 0)
    if not increment:
        raise Http2Error(PROTOCOL_ERROR, "WINDOW_UPDATE of nothing")
    return increment
