"""DNS messages, as much as answering address queries needs (RFC 1035 section 4); no I/O."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

MESSAGE_LIMIT = 512
"""Bytes of a message over UDP (RFC 1035 section 2.3.4)."""

_HEADER = struct.Struct("!HHHHHH")
_RESPONSE, _AUTHORITATIVE, _RECURSION_DESIRED = 0x8000, 0x0400, 0x0100
_NO_ERROR, _FORMAT_ERROR, _NAME_ERROR, _NOT_IMPLEMENTED = 0, 1, 3, 4
_A, _INTERNET = 1, 1
_TO_QUESTION = 0xC000 | _HEADER.size

TTL = 5
"""Seconds, as CoreDNS answers for services: they change."""


class MalformedQuery(ValueError):  # noqa: N818 - what it is, not what we do about it
    """The message is not a query that can be read."""


@dataclass(frozen=True, slots=True)
class Query:
    """One question.

    Attributes:
        identifier: The asker's number.
        flags: The header's second field.
        name: Lower-case, without the final dot.
        kind: QTYPE.
        question: The question section's bytes, which the answer repeats.
    """

    identifier: int
    flags: int
    name: str
    kind: int
    question: bytes


def parse_query(message: bytes) -> Query:
    """Read a query.

    Raises:
        MalformedQuery: It is no query with exactly one question.
    """
    if len(message) < _HEADER.size:
        raise MalformedQuery("shorter than a header")
    identifier, flags, questions, *_ = _HEADER.unpack_from(message)
    if flags & _RESPONSE or questions != 1:
        raise MalformedQuery("not one question")
    labels = []
    offset = _HEADER.size
    while True:
        if offset >= len(message):
            raise MalformedQuery("the name does not end")
        size = message[offset]
        if size == 0:
            break
        if size > 63 or offset + 1 + size > len(message):
            raise MalformedQuery("a label does not fit")
        labels.append(message[offset + 1 : offset + 1 + size].decode("latin-1").lower())
        offset += 1 + size
    end = offset + 5
    if end > len(message):
        raise MalformedQuery("the question has no type")
    kind = int.from_bytes(message[offset + 1 : offset + 3], "big")
    return Query(identifier, flags, ".".join(labels), kind, message[_HEADER.size : end])


def answer(message: bytes, names: Mapping[str, Sequence[IPv4Address]]) -> bytes:
    """The answer out of a table of names; there is nobody else to ask, so any other name does not exist.

    A message that cannot be read gets a format error under its identifier.
    """
    try:
        query = parse_query(message)
    except MalformedQuery:
        return _HEADER.pack(int.from_bytes(message[:2], "big"), _RESPONSE | _FORMAT_ERROR, 0, 0, 0, 0)
    if query.flags & 0x7800:
        return _reply(query, _NOT_IMPLEMENTED, ())
    addresses = names.get(query.name)
    if addresses is None:
        return _reply(query, _NAME_ERROR, ())
    room = (MESSAGE_LIMIT - _HEADER.size - len(query.question)) // 16
    return _reply(query, _NO_ERROR, addresses[:room] if query.kind == _A else ())


def _reply(query: Query, code: int, addresses: Sequence[IPv4Address]) -> bytes:
    flags = _RESPONSE | _AUTHORITATIVE | (query.flags & _RECURSION_DESIRED) | code
    records = (struct.pack("!HHHIH4s", _TO_QUESTION, _A, _INTERNET, TTL, 4, a.packed) for a in addresses)
    return _HEADER.pack(query.identifier, flags, 1, len(addresses), 0, 0) + query.question + b"".join(records)
