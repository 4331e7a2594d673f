"""What stands at the head of each stream that the agent opens, and the one-byte answer to it."""

import struct
from enum import IntEnum, StrEnum

import msgspec

from kdev.tunnel.yamux.protocol_error import RemoteProtocolError


class StreamForm(StrEnum):
    """What travels on a stream after its head.

    ``RAW`` is bytes both ways, verbatim. ``RECORDS`` is mirrored HTTP/1 requests, cut into records by ``records``;
    the laptop sends each whole request to the process when the answer to the one before has ended, and drops the
    answers.
    """

    RAW = "raw"
    RECORDS = "records"


class Answer(IntEnum):
    """The first byte that the laptop sends on a stream: whether the process has taken the connection."""

    ACCEPTED = 0
    REFUSED = 1


class StreamHead(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stream leads: the application's port, and the form of what follows."""

    port: int
    form: StreamForm = StreamForm.RAW


HEAD_LIMIT = 1024
"""Bytes of a head: it is some thirty today, and newer agents may add fields."""

_LENGTH = struct.Struct("!H")
_decode = msgspec.json.Decoder(StreamHead).decode


def encode_head(head: StreamHead) -> bytes:
    """A head as it goes on the wire: its length in two bytes, then JSON."""
    body = msgspec.json.encode(head)
    return _LENGTH.pack(len(body)) + body


def decode_head(data: bytes) -> tuple[StreamHead, bytes] | None:
    """The head at the beginning of ``data`` and what follows it; None while it is not complete.

    Raises:
        RemoteProtocolError: No head can begin like this.
    """
    if len(data) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack_from(data)
    if length > HEAD_LIMIT:
        raise RemoteProtocolError(f"a stream's head of {length} bytes")
    end = _LENGTH.size + length
    if len(data) < end:
        return None
    try:
        head = _decode(data[_LENGTH.size : end])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteProtocolError(f"not a stream's head: {error}") from error
    if not 0 < head.port < 65536:
        raise RemoteProtocolError(f"a stream to port {head.port}")
    return head, data[end:]
