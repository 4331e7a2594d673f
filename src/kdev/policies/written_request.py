"""A request as people write it on a command line (``GET /api/x``, ``x-dev: alice``), turned into an HTTP/1 head."""

import re
from collections.abc import Sequence

from kdev.errors import UsageFailure
from kdev.policies.tokens import TCHAR

_REQUEST = re.compile(rf"\s*(?:({TCHAR}+)\s+)?([!-~]+)\s*")
_FIELD = re.compile(rf"({TCHAR}+)\s*:[ \t]*([\t -~\u0080-\U0010ffff]*)")


def head_from(request: str, fields: Sequence[str]) -> bytes:
    """Return the head of a written request.

    Args:
        request: Method and target; the target alone means GET.
        fields: Like ``name: value``.

    Raises:
        UsageFailure: No head can be made of it.
    """
    line = _REQUEST.fullmatch(request)
    if line is None:
        raise _wrong("The request is not written like one", request, "--request 'GET /api/orders'")
    return f"{line[1] or 'GET'} {line[2]} HTTP/1.1\r\n{''.join(map(_field_line, fields))}\r\n".encode()


def _field_line(field: str) -> str:
    match = _FIELD.fullmatch(field)
    if match is None:
        raise _wrong("The header is not written like one", field, "-H 'x-dev: alice'")
    return f"{match[1]}: {match[2]}\r\n"


def _wrong(cause: str, seen: str, example: str) -> UsageFailure:
    return UsageFailure("request-syntax", cause, seen=seen, advice=f"write it like this: {example}")
