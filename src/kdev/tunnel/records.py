"""Mirrored HTTP/1 requests on a stream, cut into records so that the laptop knows where each one ends.

A record is a length of 32 bits and as many bytes. The length's top bit marks the last record of a message; a length
of zero without it says that the message was cut and must not be taken for a whole one. Several messages follow one
another on a stream; one that the stream's end interrupts is cut, too.
"""

import struct

import msgspec

from kdev.tunnel.yamux.protocol_error import RemoteProtocolError

RECORD_LIMIT = 64 * 1024
"""Bytes in a record: what a reader holds until the record is complete."""

_LENGTH = struct.Struct("!I")
_LAST = 1 << 31

CUT = _LENGTH.pack(0)
"""What to write when the message begun cannot be completed."""


class Record(msgspec.Struct, frozen=True, gc=False):
    """A piece of a message, and whether it is the last."""

    data: bytes
    last: bool


class Cut(msgspec.Struct, frozen=True, gc=False):
    """The message begun is not going to be completed; nothing of it may be taken for a request."""


def encode_records(data: bytes, *, last: bool) -> bytes:
    """The records that carry ``data``; ``last`` when the message ends with it, which may then be empty."""
    if len(data) <= RECORD_LIMIT:
        if not data and not last:
            return b""
        return _LENGTH.pack(len(data) | _LAST if last else len(data)) + data
    starts = range(0, len(data), RECORD_LIMIT)
    pieces = [encode_records(data[start : start + RECORD_LIMIT], last=False) for start in starts[:-1]]
    return b"".join([*pieces, encode_records(data[starts[-1] :], last=last)])


class RecordReader:
    """Takes a stream's bytes in any pieces and tells the records."""

    def __init__(self) -> None:
        self._partial = b""
        self._inside = False

    @property
    def inside(self) -> bool:
        """Whether a message has begun and not ended: when the stream ends here, that message was cut."""
        return self._inside or bool(self._partial)

    def feed(self, data: bytes) -> list[Record | Cut]:
        """The records that are complete now.

        Raises:
            RemoteProtocolError: A record is longer than ``RECORD_LIMIT``.
        """
        data = self._partial + data
        position = 0
        records: list[Record | Cut] = []
        while len(data) - position >= _LENGTH.size:
            (field,) = _LENGTH.unpack_from(data, position)
            length, last = field & ~_LAST, bool(field & _LAST)
            if length > RECORD_LIMIT:
                raise RemoteProtocolError(f"a record of {length} bytes")
            end = position + _LENGTH.size + length
            if end > len(data):
                break
            records.append(Record(data[end - length : end], last) if field else Cut())
            self._inside = bool(field) and not last
            position = end
        self._partial = data[position:]
        return records
