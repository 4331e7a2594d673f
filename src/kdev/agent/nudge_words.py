"""The words by which an application's server asks its client to leave, put into bytes that the server itself wrote.

HTTP/1: ``connection: close`` in a response's head (RFC 9112, section 9.6). HTTP/2: a GOAWAY frame, which lets the
streams in flight end (RFC 9113, section 6.8).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

CLOSE = b"connection: close"
CLOSE_LINE = CLOSE + b"\r\n"

GOAWAY = bytes.fromhex("000008 07 00 00000000 7fffffff 00000000")
"""Last stream 2^31-1, NO_ERROR: nothing is refused, but nothing new may begin."""

REQUEST_HEAD = re.compile(rb"[A-Z]{3,10} [^ \r\n]+ HTTP/1\.1\r\n")
"""How a request that keeps its connection begins; HTTP/1.0's do not, and methods are short capitals in practice."""

_FINAL_STATUS = re.compile(rb"HTTP/1\.[01] [2-5]\d\d[ \r]")
_CONNECTION = re.compile(rb"\r\nconnection:[ \t]*([^\r\n]*)", re.IGNORECASE)
_SPARE = re.compile(rb"\r\n((?:keep-alive|date|server|x-powered-by):[^\r\n]*)(?=\r\n)", re.IGNORECASE)
"""Headers that a client can do without: the sidecar writes its own Date and Server for those who want them."""

_HEADERS, _PUSH_PROMISE, _CONTINUATION = 1, 5, 9
_END_HEADERS = 0x4
_FRAME_HEADER = 9
_LAST_KNOWN_FRAME = 0x10
"""PRIORITY_UPDATE (RFC 9218), the highest frame type that applications' servers send."""
_LARGEST_FRAME = 1 << 20
"""Bytes; servers send 16 KiB frames unless the client's SETTINGS allow more, and Envoy's never allow more than this."""
_ON_STREAM = frozenset({0, 1, 2, 3, 5, 9})
_ON_CONNECTION = frozenset({4, 6, 7})


@dataclass(frozen=True, slots=True)
class Head:
    """A response's head asked to close; ``inserted_at`` is where ``CLOSE_LINE`` went in, None if nothing was moved."""

    data: bytes
    inserted_at: int | None


def closing_response(data: bytes, *, insert: bool) -> Head | None:
    """The same response with the word in its head, at the same length wherever a header can be given up for it.

    Args:
        data: The response's first bytes.
        insert: Whether the bytes may become more where no header can be given up.

    Returns:
        None where there is no whole head of a final response, where it says already what becomes of the connection,
        or where nothing can be given up.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0 or not _FINAL_STATUS.match(data):
        return None
    connection = _CONNECTION.search(data, 0, end)
    if connection is not None:
        if connection[1].strip().lower() != b"keep-alive":
            return None
        return Head(_overwritten(data, connection.start() + 2, connection.end()), None)
    for spare in _SPARE.finditer(data, 0, end + 2):
        if len(spare[1]) >= len(CLOSE):
            return Head(_overwritten(data, *spare.span(1)), None)
    return Head(data[: end + 2] + CLOSE_LINE + data[end + 2 :], end + 2) if insert else None


@dataclass(frozen=True, slots=True)
class Frames:
    """What a chain of whole HTTP/2 frames says.

    Attributes:
        opened: Streams with a HEADERS frame.
        streams: All streams with a frame.
        ends_between: Whether another frame may follow: no header block is left open.
    """

    opened: frozenset[int]
    streams: frozenset[int]
    ends_between: bool


def whole_frames(data: bytes) -> Frames | None:
    """What the frames say, or None unless the bytes are exactly a chain of frames."""
    opened: set[int] = set()
    streams: set[int] = set()
    ends_between = True
    length = 0
    for size, kind, flags, stream in _frames(data):
        misplaced = (kind in _ON_STREAM and stream == 0) or (kind in _ON_CONNECTION and stream != 0)
        if kind > _LAST_KNOWN_FRAME or size > _LARGEST_FRAME or misplaced:
            return None
        if kind == _HEADERS:
            opened.add(stream)
        streams.add(stream)
        ends_between = kind not in {_HEADERS, _PUSH_PROMISE, _CONTINUATION} or bool(flags & _END_HEADERS)
        length += _FRAME_HEADER + size
    return Frames(frozenset(opened), frozenset(streams - {0}), ends_between) if data and length == len(data) else None


def _frames(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(length, type, flags, stream) of each frame; the last may be cut short."""
    offset = 0
    while offset + _FRAME_HEADER <= len(data):
        size = int.from_bytes(data[offset : offset + 3], "big")
        yield (
            size,
            data[offset + 3],
            data[offset + 4],
            int.from_bytes(data[offset + 5 : offset + 9], "big") & 0x7FFFFFFF,
        )
        offset += _FRAME_HEADER + size


def _overwritten(data: bytes, start: int, end: int) -> bytes:
    return data[:start] + CLOSE.ljust(end - start) + data[end:]
