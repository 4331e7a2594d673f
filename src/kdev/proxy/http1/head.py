"""What a head says about where its message ends.

Accepted is only what every parser reads in the same way: a head that two implementations could frame differently
is a request-smuggling vector (RFC 9112, section 11.2), and a proxy that follows one reading of it breaks the other.
So each function returns None in any doubt, and its caller stops reading along. A test holds the judgement against
llhttp (Node, Envoy's legacy parser) and h11.
"""

import re
from collections.abc import Iterable
from enum import IntEnum
from functools import lru_cache

import msgspec

MAX_HEAD = 64 * 1024
"""Bytes of a head that are waited for: just above the 60 KiB that Envoy lets through by default
(``max_request_headers_kb``), so that nothing a sidecar sends is too long to be read along."""


class Body(IntEnum):
    """How a body ends that has no length; a body with one is that length, zero or more."""

    CHUNKED = -1
    UNTIL_CLOSE = -2


class RequestHead(msgspec.Struct, frozen=True, gc=False):
    """A request's framing.

    Attributes:
        method: As sent.
        body: Its length in bytes, or a ``Body``.
        switches: The answer may end HTTP on this connection: CONNECT, or an Upgrade field.
        h2c: The upgrade offered is to HTTP/2 (RFC 7540, section 3.2).
        closes: No request may follow on this connection.
    """

    method: bytes
    body: int
    switches: bool = False
    h2c: bool = False
    closes: bool = False


class ResponseHead(msgspec.Struct, frozen=True, gc=False):
    """A response's framing.

    Attributes:
        status: The status code.
        body: Its length in bytes, or a ``Body``.
        switches: HTTP ends here: 101, or a CONNECT that succeeded.
        closes: No response will follow on this connection.
    """

    status: int
    body: int
    switches: bool
    closes: bool

    @property
    def interim(self) -> bool:
        """Whether the final response is still to come (RFC 9110, section 15.2)."""
        return self.status < 200 and not self.switches


METHODS = (
    b"CONNECT GET POST PUT PATCH DELETE HEAD OPTIONS TRACE ACL BIND CHECKOUT COPY LINK LOCK M-SEARCH MERGE "
    b"MKACTIVITY MKCALENDAR MKCOL MOVE NOTIFY PROPFIND PROPPATCH PURGE REBIND REPORT SEARCH SOURCE SUBSCRIBE "
    b"UNBIND UNLINK UNLOCK UNSUBSCRIBE"
).split()
"""The methods that llhttp knows: any other would be refused there and accepted elsewhere."""

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"  # RFC 9110, section 5.6.2
_VALUE = rb"[\t -~\x80-\xff]*+"  # field-content and the blanks around it, RFC 9110, section 5.5
FIELD_LINES = rb"(?:" + _TOKEN + rb":" + _VALUE + rb"\r\n)*+"
"""Zero or more field lines; what follows is the empty line."""
FIELD_LINES_BEGUN = FIELD_LINES + rb"(?:\r|" + _TOKEN + rb"(?::" + _VALUE + rb"\r?)?)?+"
"""What ``FIELD_LINES`` and the empty line after them may look like while some of it is still to come."""

_AUTHORITY = rb"(?:[A-Za-z0-9._\-]++|\[[0-9A-Fa-f:.]++\])(?::[0-9]{1,5})?"
_TARGET = rb"(?:/[!-~]*+|\*|https?://" + _AUTHORITY + rb"(?:/[!-~]*+)?)"
# The authority form is for CONNECT, and CONNECT for the authority form (RFC 9112, section 3.2.3).
_REQUEST_LINE = (
    rb"(?:(" + b"|".join(METHODS[1:]) + rb") " + _TARGET + rb"|(CONNECT) " + _AUTHORITY + rb") HTTP/1\.([01])\r\n"
)
_STATUS_LINE = rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: " + _VALUE + rb")?\r\n"
_REQUEST = re.compile(_REQUEST_LINE + FIELD_LINES + rb"\r\n")
_RESPONSE = re.compile(_STATUS_LINE + FIELD_LINES + rb"\r\n")
_REQUEST_LINE_COMPLETE = re.compile(_REQUEST_LINE)
_STATUS_LINE_COMPLETE = re.compile(_STATUS_LINE)
_TARGET_BEGUN = re.compile(rb"[!-~]*+")
_STATUS_LINE_BEGUN = re.compile(rb"HTTP/1\.[01] [1-5]?[0-9]{0,2}(?: " + _VALUE + rb")?\r?")
_FIELDS_BEGUN = re.compile(FIELD_LINES_BEGUN)
# Most lines begin with another letter, at which the look-ahead stops without trying the names.
_FRAMING = re.compile(
    rb"\r\n(?=[hctu])((?:host|content-length|transfer-encoding|connection|upgrade):[^\r]*)", re.IGNORECASE
)
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,17}")  # eighteen digits fit every parser's 64 bits
_BLANK = b" \t"


def parse_request(head: bytes) -> RequestHead | None:
    """Read a request's head, from the request line to the empty line.

    Returns:
        None where it is malformed, unusual, or where two implementations could disagree about its body.
    """
    match = _REQUEST.fullmatch(head)
    if match is None:
        return None
    return _frame_request(*match.groups(), *_FRAMING.findall(head))


def parse_response(head: bytes, method: bytes) -> ResponseHead | None:
    """Read the head of a response to a request of ``method``; None as in ``parse_request``."""
    match = _RESPONSE.fullmatch(head)
    if match is None:
        return None
    return _frame_response(method, *match.groups(), *_FRAMING.findall(head))


def request_begun(part: bytes) -> bool:
    """Whether an accepted request head may begin with these bytes, which do not hold a whole one."""
    line, ended, fields = part.partition(b"\r\n")
    if ended:
        return bool(_REQUEST_LINE_COMPLETE.fullmatch(line + ended) and _FIELDS_BEGUN.fullmatch(fields))
    method, separated, rest = line.partition(b" ")
    if not separated:
        return any(known.startswith(method) for known in METHODS) or method in METHODS
    target, _, version = rest.partition(b" ")
    return (
        method in METHODS
        and _TARGET_BEGUN.fullmatch(target) is not None
        and (b"HTTP/1.1\r".startswith(version) or b"HTTP/1.0\r".startswith(version))
    )


def response_begun(part: bytes) -> bool:
    """Whether an accepted response head may begin with these bytes, which do not hold a whole one."""
    line, ended, fields = part.partition(b"\r\n")
    if ended:
        return bool(_STATUS_LINE_COMPLETE.fullmatch(line + ended) and _FIELDS_BEGUN.fullmatch(fields))
    return (
        b"HTTP/1.1 ".startswith(line) or b"HTTP/1.0 ".startswith(line) or _STATUS_LINE_BEGUN.fullmatch(line) is not None
    )


def frames_a_message(fields: bytes) -> bool:
    """Whether field lines, each with a CRLF before it, hold one that says where a message ends; trailers must not."""
    return _FRAMING.search(fields) is not None


# Cached: the messages of one service say the same about their framing again and again, and that is all that is asked.
@lru_cache(maxsize=1024)
def _frame_request(method: bytes | None, connect: bytes | None, minor: bytes, *lines: bytes) -> RequestHead | None:
    method = method or connect or b""
    fields = _grouped(lines)
    hosts = len(fields.get(b"host", ()))
    body = _body(minor, fields)
    # Exactly one Host field in HTTP/1.1 (RFC 9112, section 3.2): servers refuse the rest, or disagree about it.
    if body is None or hosts > 1 or (hosts == 0 and minor == b"1") or (body and method == b"CONNECT"):
        return None
    upgrades = fields.get(b"upgrade", ())
    return RequestHead(
        method,
        body,
        switches=bool(upgrades) or method == b"CONNECT",
        h2c=any(b"h2c" in upgrade.lower() for upgrade in upgrades),
        closes=minor == b"0" or b"close" in _options(fields),
    )


@lru_cache(maxsize=1024)
def _frame_response(method: bytes, minor: bytes, digits: bytes, *lines: bytes) -> ResponseHead | None:
    fields = _grouped(lines)
    status = int(digits)
    body = _body(minor, fields)
    if body is None or (status < 200 and minor == b"0"):
        return None
    switches = status == 101 or (method == b"CONNECT" and 200 <= status < 300)
    if switches or method == b"HEAD" or status < 200 or status in {204, 304}:
        body = 0  # whatever the fields say: RFC 9112, section 6.3, rules 1 and 2
    elif not fields.keys() & {b"content-length", b"transfer-encoding"}:
        body = Body.UNTIL_CLOSE
    closes = minor == b"0" or body == Body.UNTIL_CLOSE or b"close" in _options(fields)
    return ResponseHead(status, body, switches=switches, closes=closes)


def _grouped(lines: Iterable[bytes]) -> dict[bytes, list[bytes]]:
    grouped: dict[bytes, list[bytes]] = {}
    for line in lines:
        name, _, value = line.partition(b":")
        grouped.setdefault(name.lower(), []).append(value.strip(_BLANK))
    return grouped


def _body(minor: bytes, fields: dict[bytes, list[bytes]]) -> int | None:
    """The body by its fields: none at all is a length of zero, and anything unusual None."""
    lengths = fields.get(b"content-length", ())
    codings = fields.get(b"transfer-encoding", ())
    if not lengths and not codings:
        return 0
    if codings:
        alone = len(codings) == 1 and not lengths and minor == b"1" and codings[0].lower() == b"chunked"
        return Body.CHUNKED if alone else None
    return int(lengths[0]) if len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]) else None


def _options(fields: dict[bytes, list[bytes]]) -> set[bytes]:
    values = b",".join(fields.get(b"connection", ())).lower().split(b",")
    return {value.strip(_BLANK) for value in values}
