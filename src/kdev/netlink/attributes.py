"""Netlink's wire format: messages, attributes and nested attributes (include/uapi/linux/netlink.h).

Everything is in the machine's byte order but where a family says otherwise: nf_tables writes all numbers in the
network's, and ports and addresses always are. Attributes are padded to four bytes.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NESTED = 0x8000
_KIND = 0x3FFF
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")

HEADER_SIZE = _HEADER.size


@dataclass(frozen=True, slots=True)
class Message:
    """One netlink message as it was received.

    Attributes:
        kind: The family's message type, or one of netlink's own below 16.
        flags: NLM_F_* bits.
        sequence: That of the request it answers.
        body: Everything behind the header.
    """

    kind: int
    flags: int
    sequence: int
    body: bytes


def encode_message(kind: int, flags: int, sequence: int, body: bytes) -> bytes:
    """A message to the kernel (port 0)."""
    return _HEADER.pack(_HEADER.size + len(body), kind, flags, sequence, 0) + body


def decode_messages(datagram: bytes) -> Iterator[Message]:
    """The messages of one datagram.

    Raises:
        ValueError: A message's length does not fit the datagram.
    """
    offset = 0
    while offset + _HEADER.size <= len(datagram):
        size, kind, flags, sequence, _ = _HEADER.unpack_from(datagram, offset)
        if size < _HEADER.size or offset + size > len(datagram):
            raise ValueError(f"netlink message of {size} bytes in a datagram of {len(datagram)}")
        yield Message(kind, flags, sequence, datagram[offset + _HEADER.size : offset + size])
        offset += _aligned(size)


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute, padded."""
    size = _ATTRIBUTE.size + len(value)
    return _ATTRIBUTE.pack(size, kind) + value + bytes(-size % 4)


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NESTED, b"".join(attributes))


def decode_attributes(body: bytes, offset: int = 0) -> dict[int, bytes]:
    """The attributes from ``offset`` on, by kind without its flag bits; the last of a kind wins.

    Raises:
        ValueError: An attribute's length does not fit the body.
    """
    found = {}
    while offset + _ATTRIBUTE.size <= len(body):
        size, kind = _ATTRIBUTE.unpack_from(body, offset)
        if size < _ATTRIBUTE.size or offset + size > len(body):
            raise ValueError(f"netlink attribute of {size} bytes, {len(body) - offset} left")
        found[kind & _KIND] = body[offset + _ATTRIBUTE.size : offset + size]
        offset += _aligned(size)
    return found


def text(value: str) -> bytes:
    """A name as the kernel's C strings."""
    return value.encode() + b"\0"


def decode_text(value: bytes) -> str:
    """A C string's text."""
    return value.partition(b"\0")[0].decode(errors="replace")


def native32(value: int) -> bytes:
    """A u32 in the machine's byte order."""
    return struct.pack("=I", value)


def network16(value: int) -> bytes:
    """A u16 in the network's byte order."""
    return struct.pack("!H", value)


def network32(value: int) -> bytes:
    """A u32, or an s32 in two's complement, in the network's byte order."""
    return struct.pack("!I", value & 0xFFFFFFFF)


def network64(value: int) -> bytes:
    """A u64 in the network's byte order."""
    return struct.pack("!Q", value)


def _aligned(size: int) -> int:
    return (size + 3) & ~3
