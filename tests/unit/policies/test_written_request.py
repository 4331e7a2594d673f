"""Requests written on a command line."""

import pytest

from kdev.errors import UsageFailure
from kdev.policies.matching import compile_filters
from kdev.policies.written_request import head_from


@pytest.mark.parametrize(
    ("request_", "fields", "head"),
    [
        ("GET /api/x", [], b"GET /api/x HTTP/1.1\r\n\r\n"),
        ("/api/x?a=1", [], b"GET /api/x?a=1 HTTP/1.1\r\n\r\n"),
        (" POST  http://h/p ", ["X-Dev:alice", "a: "], b"POST http://h/p HTTP/1.1\r\nX-Dev: alice\r\na: \r\n\r\n"),
        ("GET /", ["name: Zoë"], "GET / HTTP/1.1\r\nname: Zoë\r\n\r\n".encode()),
    ],
)
def test_a_written_request_becomes_a_head(request_: str, fields: list[str], head: bytes) -> None:
    """Method, target and headers, of which a matcher can say something."""
    assert head_from(request_, fields) == head
    assert compile_filters([], identity=None, probes=()).explain(head, 80).well_formed


@pytest.mark.parametrize("request_", ["", "G(T /a", "GET /a HTTP/1.1", "GET /a\r\nx: 1", "GET /ä"])
def test_what_is_no_request_is_refused(request_: str) -> None:
    """It would never arrive like that."""
    with pytest.raises(UsageFailure, match="request is not written"):
        head_from(request_, [])


@pytest.mark.parametrize("field", ["", "x-dev", ": a", "x dev: a", "x: a\r\ny: b"])
def test_what_is_no_header_is_refused(field: str) -> None:
    """Name, colon and one line of value."""
    with pytest.raises(UsageFailure, match="header is not written"):
        head_from("/", [field])
