"""What filters see of a request head."""

import pytest

from kdev.policies.requests import REPEATED, Http1Request, Http2Request


def http1(line: bytes, *fields: bytes) -> Http1Request:
    """A request from its lines."""
    request = Http1Request.parse(b"\r\n".join((line, *fields, b"", b"")), 8080)
    assert request is not None
    return request


@pytest.mark.parametrize(
    ("line", "paths", "query", "authorities"),
    [
        (b"GET / HTTP/1.1", [b"/"], b"", [b"field"]),
        (b"GET /a/%2F?b=1?c HTTP/1.0", [b"/a/%2F"], b"b=1?c", [b"field"]),
        (b"GET //a HTTP/1.1", [b"//a"], b"", [b"field"]),
        (b"GET http://h:1/p?q HTTP/1.1", [b"/p"], b"q", [b"h:1"]),
        (b"GET http://user@h HTTP/1.1", [b"/"], b"", [b"h"]),
        (b"GET http://h?q=http://x/y HTTP/1.1", [b"/"], b"q=http://x/y", [b"h"]),
        (b"OPTIONS * HTTP/1.1", [b"*"], b"", [b"field"]),
        (b"CONNECT h:443 HTTP/1.1", [], b"", [b"h:443"]),
        (b"GET p HTTP/1.1", [b"p"], b"", [b"field"]),
    ],
)
def test_all_forms_of_a_target_are_read(
    line: bytes, paths: list[bytes], query: bytes, authorities: list[bytes]
) -> None:
    """Origin, absolute, authority and asterisk form give path, query and authority (RFC 9112, section 3.2)."""
    request = http1(line, b"Host: field")
    assert (request.paths, request.query, request.authorities()) == (paths, query, authorities)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET /a\r\n\r\n",
        b"GET  /a HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/1.1 \r\n\r\n",
        b"GET /a b HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/2.0\r\n\r\n",
        b"GET /a HTTP/1.1\n\n",
        b"\r\nGET /a HTTP/1.1\r\n\r\n",
        b"G(T /a HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_has_no_request_line_is_no_request(head: bytes) -> None:
    """Only a request line of RFC 9112 begins a request."""
    assert Http1Request.parse(head, 8080) is None


def test_field_lines_are_found_by_name() -> None:
    """Any case, any number of lines, blanks around values cut off, other names left alone."""
    request = http1(b"GET / HTTP/1.1", b"X-Dev:alice", b"x-dev2: no", b"not-x-dev: no", b"x-DEV: \tb b\t ", b"x-dev:")
    assert request.values(b"x-dev") == [b"alice", b"b b", b""]


@pytest.mark.parametrize(
    "lines",
    [b"x-dev: alice\r\n bob", b"x-dev: alice\r\n\t", b"x-dev: alice\nx: 1", b"x-dev: alice\rx: 1", b"x-dev : a"],
)
def test_malformed_field_lines_have_no_value(lines: bytes) -> None:
    """Folded lines, lone CR or LF and a blank before the colon are not read as something they are not."""
    assert http1(b"GET / HTTP/1.1", lines, b"z: 1").values(b"x-dev") == []
    assert http1(b"GET / HTTP/1.1", b"y: 1\n" + lines).values(b"x-dev") == []


def test_http2_fields_are_read() -> None:
    """Pseudo fields, repeated fields, cookie crumbs, and Host where there is no :authority."""
    request = Http2Request(
        {
            b":method": b"GET",
            b":path": b"/a?b",
            b"host": b"h",
            b"x": REPEATED.join((b"1, 2", b" 3 ")),
            b"cookie": REPEATED.join((b"a=1", b"b=2")),
        },
        8080,
    )
    assert (request.method, request.paths, request.query) == (b"GET", [b"/a"], b"b")
    assert request.values(b"x") == [b"1, 2", b"3"]
    assert request.values(b"cookie") == [b"a=1; b=2"]
    assert request.values(b"y") == []
    assert request.authorities() == [b"h"]
    assert Http2Request({b":authority": b"a", b"host": b"h"}, 1).authorities() == [b"a"]


def test_http2_connect_has_no_path() -> None:
    """A CONNECT without :path has no path, as in HTTP/1."""
    assert Http2Request({b":method": b"CONNECT", b":authority": b"h:443"}, 1).paths == []
