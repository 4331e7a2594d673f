"""The requests of an HTTP/2 connection that is forwarded verbatim, read along.

The bytes have gone to the other side before anything here looks at them; nothing here can change or delay them. Where
anything is in doubt, reading along ends for the rest of the connection.
"""

from typing import Final, Protocol

from kdev.proxy.http2.frames import (
    CONTINUATION,
    DATA,
    END_STREAM,
    HEAD_SIZE,
    HEADERS,
    PADDED,
    PREFACE,
    PROTOCOL_ERROR,
    RST_STREAM,
    Http2Error,
    number,
    read_header_block,
    unpack_head,
)
from kdev.proxy.http2.header_blocks import FieldList, FollowedBlocks

LONGEST_READ_FRAME: Final = 1024 * 1024
"""Of a frame that has to be seen whole; header blocks are bounded already, other frames that are read are short."""


class Reader(Protocol):
    """Who is told what the client sends."""

    def request(self, stream_id: int, fields: FieldList, *, end: bool) -> None:
        """A new stream's request."""

    def follows(self, stream_id: int) -> bool:
        """Whether body, trailers and end of this stream are to be told."""
        ...

    def body(self, stream_id: int, payload: bytes, *, end: bool) -> None:
        """A piece of a request's body; pieces are cut as they arrive, and the rest of a frame is told in any case."""

    def trailers(self, stream_id: int, fields: FieldList) -> None:
        """A request's trailers."""

    def cancelled(self, stream_id: int, code: int) -> None:
        """The client has reset the stream."""


class RequestsReadAlong:
    """Follows the client's frames; ``receive`` takes copies of what was forwarded.

    Attributes:
        lost: Reading along has ended: what the client sends is not understood.
    """

    def __init__(self, reader: Reader) -> None:
        self.lost = False
        self._reader = reader
        self._blocks = FollowedBlocks()
        self._rest = b""
        self._skip = len(PREFACE)
        self._highest = 0
        self._body: tuple[int, bool] | None = None
        self._body_left = 0
        self._padding = 0

    def receive(self, data: bytes) -> None:
        """Read what the client has sent."""
        if self.lost:
            return
        try:
            self._frames(self._rest + data if self._rest else data)
        except Http2Error:
            self.lost = True
            self._rest = b""

    def _frames(self, data: bytes) -> None:
        offset, end = 0, len(data)
        self._rest = b""
        while True:
            if self._body is not None:
                offset = self._read_body(data, offset)
            if self._skip:
                step = min(self._skip, end - offset)
                self._skip -= step
                offset += step
            if end - offset < HEAD_SIZE:
                break
            high, low, kind, _, stream_id = unpack_head(data, offset)
            length = high << 8 | low
            if kind == HEADERS:
                stop = self._read_headers(data, offset, HEAD_SIZE + length)
            elif kind in {DATA, RST_STREAM} and self._reader.follows(stream_id):
                stop = self._read_followed(data, offset, kind, length)
            elif kind == CONTINUATION:
                raise Http2Error(PROTOCOL_ERROR, "CONTINUATION without a header block before it")
            else:
                stop, self._skip = offset + HEAD_SIZE, length
            if stop is None:
                break
            offset = stop
        self._rest = data[offset:]

    def _read_headers(self, data: bytes, offset: int, size: int) -> int | None:
        if size > LONGEST_READ_FRAME:
            raise Http2Error(PROTOCOL_ERROR, "a header block too long to be read")
        if offset + size > len(data):
            return None
        block = read_header_block(data, offset)
        if block is None:
            return None
        fields = self._blocks.read(block.fragment)
        stream_id, end = number(data, offset + 5), bool(data[offset + 4] & END_STREAM)
        if stream_id > self._highest:
            self._highest = stream_id
            self._reader.request(stream_id, fields, end=end)
        elif self._reader.follows(stream_id):
            self._reader.trailers(stream_id, fields)
        return block.stop

    def _read_followed(self, data: bytes, offset: int, kind: int, length: int) -> int | None:
        stream_id, flags, begin = number(data, offset + 5), data[offset + 4], offset + HEAD_SIZE
        if kind == RST_STREAM:
            if begin + length > len(data):
                return None
            self._reader.cancelled(stream_id, number(data, begin))
            return begin + length
        self._padding = 0
        if flags & PADDED:
            if begin >= len(data):
                return None
            self._padding = data[begin]
            begin, length = begin + 1, length - 1
        if length < self._padding:
            raise Http2Error(PROTOCOL_ERROR, "more padding than frame")
        self._body, self._body_left = (stream_id, bool(flags & END_STREAM)), length - self._padding
        return begin

    def _read_body(self, data: bytes, offset: int) -> int:
        """Tell a piece of the DATA frame that is under way; returns where it ends."""
        assert self._body is not None
        stream_id, end = self._body
        stop = min(offset + self._body_left, len(data))
        self._body_left -= stop - offset
        complete = not self._body_left
        if stop > offset or complete:
            self._reader.body(stream_id, data[offset:stop], end=end and complete)
        if complete:
            self._body, self._skip = None, self._padding
        return stop
