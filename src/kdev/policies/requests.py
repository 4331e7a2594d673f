"""A request head as filters look at it: HTTP/1 bytes or HTTP/2 fields, decoded no further than asked.

Nothing is normalised: percent-encoding, dot segments and the case of paths stay as the client sent them, because
that is what the application will see. Whether a head is well-formed is the framing's business, which copies doubtful
connections raw; here it is only made sure that what is malformed is not taken for something that was asked for.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Protocol, Self

from kdev.policies.tokens import TCHAR

REPEATED = b"\x00"
"""Stands between the values of a repeated HTTP/2 field. A comma would not do, which values may contain; NUL is
forbidden in them (RFC 9113, section 8.2.1)."""

_REQUEST_LINE = re.compile(rb"(%s++) ([^\x00-\x20\x7f]++) HTTP/1\.[0-9]\r\n" % TCHAR.encode())
_SCHEME = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*+://")


class Request(Protocol):
    """What a filter can ask of a request; an absent thing is an empty list.

    Attributes:
        port: The application's port it is meant for.
        method: As sent.
        paths: The path without query; empty for CONNECT.
        query: What follows the first ``?``, without it; empty when there is none.
    """

    port: int
    method: bytes
    paths: list[bytes]
    query: bytes

    def authorities(self) -> list[bytes]:
        """Host and port that the request names."""
        ...

    def values(self, name: bytes) -> list[bytes]:
        """The values of the fields of this lower-case name, in order, without the blanks around them."""
        ...


class Http1Request:
    """A request from the bytes of its head."""

    __slots__ = ("_authority", "_head", "method", "paths", "port", "query")

    def __init__(self, head: bytes, port: int, method: bytes, target: bytes) -> None:
        self._head = head
        self._authority: bytes | None = None
        self.port = port
        self.method = method
        if target[0] != 0x2F:  # "/" begins the origin form, by far the most frequent one
            target = self._unusual_target(target)
        path, _, self.query = target.partition(b"?")
        self.paths = [path] if path else []

    @classmethod
    def parse(cls, head: bytes, port: int) -> Self | None:
        """Read a head with its empty line, or return None where the first is no request line (RFC 9112, section 3)."""
        line = _REQUEST_LINE.match(head)
        return None if line is None else cls(head, port, line[1], line[2])

    def _unusual_target(self, target: bytes) -> bytes:
        """Take the authority out of an absolute or authority form (RFC 9112, section 3.2), and leave the rest."""
        if self.method == b"CONNECT":
            self._authority = target
            return b""
        if scheme := _SCHEME.match(target):
            rest = target[scheme.end() :]
            end = min((place for mark in b"/?" if (place := rest.find(mark)) >= 0), default=len(rest))
            self._authority = rest[:end].rpartition(b"@")[2]
            return rest[end:] if rest[end : end + 1] == b"/" else b"/" + rest[end:]
        return target

    def authorities(self) -> list[bytes]:
        """The target's authority, which outranks the Host field (RFC 9112, section 3.2.2), or that field's value."""
        return self.values(b"host") if self._authority is None else [self._authority]

    def values(self, name: bytes) -> list[bytes]:
        """The values of the field lines of this name."""
        return [value.strip(b" \t") for value in _field_line(name).findall(self._head)]


class Http2Request:
    """A request from decoded HTTP/2 fields; no more than the wanted ones need be there."""

    __slots__ = ("_fields", "method", "paths", "port", "query")

    def __init__(self, fields: Mapping[bytes, bytes], port: int) -> None:
        self._fields = fields
        self.port = port
        self.method = fields.get(b":method", b"")
        path, _, self.query = fields.get(b":path", b"").partition(b"?")
        self.paths = [path] if path else []

    def authorities(self) -> list[bytes]:
        """``:authority``, which stands for the Host field (RFC 9113, section 8.3.1)."""
        return self.values(b":authority") or self.values(b"host")

    def values(self, name: bytes) -> list[bytes]:
        """The values of this field; the crumbs of a cookie are one value again (RFC 9113, section 8.2.3)."""
        value = self._fields.get(name)
        if value is None:
            return []
        if name == b"cookie":
            return [value.replace(REPEATED, b"; ")]
        return [part.strip(b" \t") for part in value.split(REPEATED)]


@lru_cache(maxsize=256)  # the names come from a session's filters: few
def _field_line(name: bytes) -> re.Pattern[bytes]:
    """An expression for whole field lines: one that is folded or holds a lone CR or LF has no value."""
    return re.compile(rb"\r\n(?i:%s):([^\r\n]*+)(?=\r\n[^ \t])" % re.escape(name))
