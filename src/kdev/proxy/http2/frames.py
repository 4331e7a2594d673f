"""HTTP/2 frames as far as the splice needs them (RFC 9113, sections 4 and 6): pure functions over bytes."""

import struct
from collections.abc import Mapping
from typing import Final, NamedTuple

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA: Final = 0
HEADERS: Final = 1
PRIORITY: Final = 2
RST_STREAM: Final = 3
SETTINGS: Final = 4
PUSH_PROMISE: Final = 5
PING: Final = 6
GOAWAY: Final = 7
WINDOW_UPDATE: Final = 8
CONTINUATION: Final = 9

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
HAS_PRIORITY: Final = 0x20

HEADER_TABLE_SIZE: Final = 1
ENABLE_PUSH: Final = 2
MAX_CONCURRENT_STREAMS: Final = 3
INITIAL_WINDOW_SIZE: Final = 4
MAX_FRAME_SIZE: Final = 5

NO_ERROR: Final = 0
PROTOCOL_ERROR: Final = 1
INTERNAL_ERROR: Final = 2
FLOW_CONTROL_ERROR: Final = 3
FRAME_SIZE_ERROR: Final = 6
REFUSED_STREAM: Final = 7
CANCEL: Final = 8
COMPRESSION_ERROR: Final = 9
ENHANCE_YOUR_CALM: Final = 11

LARGEST: Final = 0x7FFFFFFF
"""Of stream identifiers and windows: 31 bits; the bit in front of them is reserved and ignored."""

DEFAULT_WINDOW: Final = 65_535
"""Of a connection, and of streams until SETTINGS say otherwise (RFC 9113, section 6.9.2)."""

FRAME_LIMIT: Final = 16_384
"""Payload of a frame: what every peer accepts without being asked (RFC 9113, section 4.2)."""

BLOCK_LIMIT: Final = 256 * 1024
"""Bytes of one header block with all its frames; Envoy refuses more than 60 KiB, nginx more than 32 KiB."""

HEAD_SIZE: Final = 9
_HEAD = struct.Struct(">HBBBL")
_SETTING = struct.Struct(">HL")

_USUAL = END_HEADERS | PADDED | HAS_PRIORITY
"""The flags that decide how a header block is laid out."""

unpack_head = _HEAD.unpack_from
"""Reads a frame's head: the length's upper 16 and lower 8 bits, kind, flags, stream identifier with its reserved
bit. Bare, because the loops that walk over frames cannot afford more."""


class Http2Error(Exception):
    """A peer broke the protocol in a way that ends its connection; ``code`` goes into the GOAWAY."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Frame(NamedTuple):
    """A whole frame.

    Attributes:
        data: All its bytes, the head among them.
    """

    kind: int
    flags: int
    stream_id: int
    data: bytes


class HeaderBlock(NamedTuple):
    """A whole header block out of its HEADERS or PUSH_PROMISE frame and the CONTINUATION frames behind it.

    Attributes:
        prefix: The priority or the promised stream's identifier in front of the fragment.
        fragment: The block itself, joined.
        stop: Where its last frame ends.
    """

    prefix: bytes
    fragment: bytes
    stop: int


def number(data: bytes, offset: int) -> int:
    """Read the 31-bit number at ``offset``."""
    return int.from_bytes(data[offset : offset + 4], "big") & LARGEST


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Make one frame."""
    length = len(payload)
    return _HEAD.pack(length >> 8, length & 255, kind, flags, stream_id) + payload


def window_update(stream_id: int, increment: int) -> bytes:
    """Make a WINDOW_UPDATE; stream 0 is the connection."""
    return frame(WINDOW_UPDATE, 0, stream_id, increment.to_bytes(4, "big"))


def reset(stream_id: int, code: int) -> bytes:
    """Make a RST_STREAM."""
    return frame(RST_STREAM, 0, stream_id, code.to_bytes(4, "big"))


def goaway(last_stream_id: int, code: int, debug: bytes = b"") -> bytes:
    """Make a GOAWAY."""
    return frame(GOAWAY, 0, 0, last_stream_id.to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


def settings(values: Mapping[int, int]) -> bytes:
    """Make a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(_SETTING.pack(key, value) for key, value in values.items()))


def parse_settings(payload: bytes) -> dict[int, int]:
    """Read the payload of a SETTINGS frame; of a parameter that stands twice the last one counts.

    Raises:
        Http2Error: The length is not a multiple of six, or a window is larger than there can be.
    """
    if len(payload) % _SETTING.size:
        raise Http2Error(FRAME_SIZE_ERROR, "SETTINGS of a broken length")
    values = dict(_SETTING.iter_unpack(payload))
    if values.get(INITIAL_WINDOW_SIZE, 0) > LARGEST:
        raise Http2Error(FLOW_CONTROL_ERROR, "SETTINGS_INITIAL_WINDOW_SIZE above 2^31-1")
    return values


def split_data(data_frame: bytes, room: int) -> tuple[bytes, bytes] | None:
    """Cut a DATA frame so that the first part costs at most ``room`` of a window.

    Both parts together cost what the whole did: padding stays with the second.

    Returns:
        The parts, or None where nothing can be cut off.
    """
    flags, stream_id = data_frame[4], number(data_frame, 5)
    begin, padding = (HEAD_SIZE + 1, data_frame[HEAD_SIZE]) if flags & PADDED else (HEAD_SIZE, 0)
    # Of a padded frame at least one byte stays behind, so that the rest is still a frame of its own.
    room = min(room, len(data_frame) - padding - begin)
    if room <= 0:
        return None
    cut = begin + room
    length_field = data_frame[HEAD_SIZE:begin]
    return (
        frame(DATA, 0, stream_id, data_frame[begin:cut]),
        frame(DATA, flags, stream_id, length_field + data_frame[cut:]),
    )


def payload_of(data_frame: bytes) -> bytes:
    """Read the payload of a DATA frame without its padding.

    Raises:
        Http2Error: There is more padding than frame.
    """
    if not data_frame[4] & PADDED:
        return data_frame[HEAD_SIZE:]
    if len(data_frame) == HEAD_SIZE or HEAD_SIZE + 1 + data_frame[HEAD_SIZE] > len(data_frame):
        raise Http2Error(PROTOCOL_ERROR, "more padding than frame")
    return data_frame[HEAD_SIZE + 1 : len(data_frame) - data_frame[HEAD_SIZE]]


def read_header_block(data: bytes, offset: int) -> HeaderBlock | None:
    """Join the header block whose first frame starts at ``offset`` and is all there.

    Returns:
        The block, or None while CONTINUATION frames are missing. Bytes of a frame are missing never: the caller waits
        for the whole first frame.

    Raises:
        Http2Error: Padding, sequence or size of the frames is wrong. Empty CONTINUATION frames are refused: they
            cost the sender nothing and the receiver work (CVE-2024-27316 and its relatives).
    """
    high, low, kind, flags, owner = unpack_head(data, offset)
    begin, padding = offset + HEAD_SIZE, 0
    stop = begin + (high << 8 | low)
    if kind == HEADERS and flags & _USUAL == END_HEADERS:
        return HeaderBlock(b"", data[begin:stop], stop)
    if flags & PADDED:
        padding = data[begin] if begin < stop else 0
        begin += 1
    extra = 4 if kind == PUSH_PROMISE else 5 if flags & HAS_PRIORITY else 0
    if begin + extra + padding > stop:
        raise Http2Error(PROTOCOL_ERROR, "more padding than frame")
    prefix, fragments = data[begin : begin + extra], [data[begin + extra : stop - padding]]
    while not flags & END_HEADERS:
        if len(data) - stop < HEAD_SIZE:
            return None
        high, low, following, flags, stream_id = unpack_head(data, stop)
        length = high << 8 | low
        if following != CONTINUATION or (stream_id ^ owner) & LARGEST:
            raise Http2Error(PROTOCOL_ERROR, "a header block was interrupted")
        if stop + length - offset > BLOCK_LIMIT or (not length and not flags & END_HEADERS):
            raise Http2Error(ENHANCE_YOUR_CALM, "a header block is too long")
        if stop + HEAD_SIZE + length > len(data):
            return None
        fragments.append(data[stop + HEAD_SIZE : stop + HEAD_SIZE + length])
        stop += HEAD_SIZE + length
    return HeaderBlock(prefix, b"".join(fragments), stop)


def header_frames(kind: int, flags: int, stream_id: int, fragment: bytes, prefix: bytes = b"") -> bytes:
    """Make the HEADERS or PUSH_PROMISE frame of a block, and the CONTINUATION frames it needs.

    Of ``flags`` only END_STREAM and the priority flag are kept; ``prefix`` is as in ``HeaderBlock``.
    """
    room = FRAME_LIMIT - len(prefix)
    first, rest = prefix + fragment[:room], fragment[room:]
    out = frame(kind, flags & (END_STREAM | HAS_PRIORITY) | (0 if rest else END_HEADERS), stream_id, first)
    while rest:
        part, rest = rest[:FRAME_LIMIT], rest[FRAME_LIMIT:]
        out += frame(CONTINUATION, 0 if rest else END_HEADERS, stream_id, part)
    return out
