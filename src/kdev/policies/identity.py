"""The caller's identity as the sidecar wrote it into a request header.

Only what the sidecar in front of us added is trusted. In ``x-forwarded-client-cert`` that is the last element:
earlier ones were in the request when it arrived, and any client can send them. A substring search would find a
forged identity there, so the value is parsed.
"""

import re
from functools import lru_cache
from typing import Protocol

MAX_PAIRS = 512
"""Pairs that are read of a value. Each proxy on the way adds about six; a client could send tens of thousands, each of
which costs a step. A caller who does is not recognised."""

_PAIR = re.compile(rb'[ \t]*([A-Za-z]+)=("(?:[^"\\]|\\.)*+"|[^",;]*+)[ \t]*(?=[,;]|\Z)', re.DOTALL)
_ESCAPED = re.compile(rb"\\(.)", re.DOTALL)


class IdentityHeader(Protocol):
    """Where the mesh says who called; ``mesh_adapters.interface.Identity`` is one.

    Attributes:
        header: Lower-case field name.
        form: How its value is read: ``xfcc`` or ``plain``.
    """

    @property
    def header(self) -> bytes: ...  # noqa: D102 - above

    @property
    def form(self) -> str: ...  # noqa: D102 - above


def callers(values: list[bytes], form: str) -> list[bytes]:
    """The immediate caller's identities (a certificate may hold several), from all values of the header in order.

    Raises:
        ValueError: The form is unknown.
    """
    if not values:
        return []
    match form:
        case "xfcc":
            return list(uris_of_last_element(values[-1]))
        case "plain":
            return [values[-1]]
        case _:
            raise ValueError(f"unknown form of an identity header: {form!r}")


@lru_cache(maxsize=64)  # one client's requests all bear the same; 64 of a header's largest size are a few MB
def uris_of_last_element(value: bytes) -> tuple[bytes, ...]:
    """Read Envoy's XFCC: elements separated by ``,``, of pairs separated by ``;``, values perhaps quoted.

    Returns:
        The URI values of the last element; nothing for a value that is not XFCC from begin to end.

    Source: Envoy, "HTTP header manipulation", x-forwarded-client-cert.
    """
    uris: list[bytes] = []
    position = 0
    for _ in range(MAX_PAIRS):
        pair = _PAIR.match(value, position)
        if pair is None:
            break
        key, text = pair[1].lower(), pair[2]
        if key == b"uri":
            uris.append(_ESCAPED.sub(rb"\1", text[1:-1]) if text[:1] == b'"' else text.rstrip(b" \t"))
        position = pair.end() + 1
        if position > len(value):
            return tuple(uris)
        if value[pair.end()] == 0x2C:  # a comma: what was read belongs to an earlier element
            uris = []
    return ()
