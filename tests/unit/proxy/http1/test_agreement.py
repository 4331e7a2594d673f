"""Framing held against llhttp (httptools) and h11: where they disagree with each other or with us, we have gone raw.

Each judgement is the list of messages found in one direction's bytes: how many bytes were consumed up to the end of
each. A parser that refuses stops the list there; ours may stop earlier than both, never go on alone.
"""

from dataclasses import dataclass

import h11
import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdev.proxy.http1.request import RequestReader
from kdev.proxy.http1.response import ResponseReader

HOST = b"Host: a\r\n"


def _ours_requests(data: bytes) -> list[int]:
    reader = RequestReader()
    reader.feed(data)
    ends, position = [], 0
    while True:
        if reader.switching:
            return ends
        piece = reader.next()
        if piece is None:
            return ends
        position += len(piece.data)
        if piece.end:
            ends.append(position)


class _Llhttp:
    """Counts the messages that llhttp completes, and finds where by giving it one byte at a time."""

    def __init__(self) -> None:
        self.completed = 0

    def on_message_complete(self) -> None:
        self.completed += 1


def _llhttp(data: bytes, make: type) -> list[int]:
    told = _Llhttp()
    parser = make(told)
    ends: list[int] = []
    for position in range(len(data)):
        try:
            parser.feed_data(data[position : position + 1])
        except httptools.HttpParserUpgrade:
            ends.append(position + 1)
            return ends
        except httptools.HttpParserError:
            return ends
        if told.completed > len(ends):
            ends.append(position + 1)
    return ends


def _h11(data: bytes, role: type[h11.CLIENT] | type[h11.SERVER], methods: list[bytes] | None = None) -> list[int]:
    """Where h11, as the peer of what is in ``data``, ends each message; by one byte at a time."""
    ends: list[int] = []
    connection = _h11_peer(role, methods, 0)
    for position in range(len(data)):
        connection.receive_data(data[position : position + 1])
        try:
            ended = _h11_ended(connection)
        except h11.RemoteProtocolError:
            return ends
        if ended:
            ends.append(position + 1)
            if connection.their_state is not h11.DONE:
                return ends
            connection = _h11_peer(role, methods, len(ends))
            if connection is None:
                return ends
    return ends


def _h11_ended(connection: h11.Connection) -> bool:
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA or event is h11.PAUSED:
            return False
        if isinstance(event, h11.EndOfMessage):
            return True


def _h11_peer(role: type, methods: list[bytes] | None, nth: int) -> h11.Connection | None:
    connection = h11.Connection(role, max_incomplete_event_size=1 << 20)
    if methods is not None:
        if nth >= len(methods):
            return None
        connection.send(h11.Request(method=methods[nth], target="/", headers=[("Host", "a")]))
        connection.send(h11.EndOfMessage())
    return connection


def _agrees(ours: list[int], other: list[int]) -> bool:
    return other[: len(ours)] == ours


TOKENS = st.sampled_from(
    [b"a", b"X-Y", b"content-length", b"Content-Length", b"transfer-encoding", b"Transfer-Encoding"]
)
VALUES = st.sampled_from(
    [
        b"0",
        b"3",
        b"03",
        b"+3",
        b"3 ",
        b" 3",
        b"3,3",
        b"0x3",
        b"-1",
        b"99999999999999999999",
        b"chunked",
        b"Chunked",
        b"gzip, chunked",
        b"chunked, chunked",
        b"identity",
        b"close",
        b"keep-alive",
        b"Upgrade",
        b"",
        b"\xe9",
        b"a\x00b",
        b"a\x0bb",
        b"a\tb",
        b"a\rb",
    ]
)
LINE_ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\r\n "])
COLONS = st.sampled_from([b": "] * 8 + [b":", b" :", b":\t", b" : ", b""])
FIELDS = st.builds(
    lambda name, colon, value, end: name + colon + value + end,
    TOKENS | st.sampled_from([b"connection", b"upgrade", b"host", b"expect", b"", b" a", b"a b", b"a(b"]),
    COLONS,
    VALUES,
    LINE_ENDS,
)
METHODS = st.sampled_from(
    [b"GET", b"POST", b"PUT", b"HEAD", b"CONNECT", b"OPTIONS", b"get", b"FOO", b"M-SEARCH", b"PRI"]
)
TARGETS = st.sampled_from(
    [
        b"/",
        b"/a?b=c#d",
        b"*",
        b"http://a/b",
        b"https://a:1",
        b"a:80",
        b"a",
        b"/\xe9",
        b"//",
        b"",
        b"/a b",
        b"/%zz",
        b"ws://a/",
    ]
)
VERSIONS = st.sampled_from(
    [b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"http/1.1", b"HTTP/1.10"]
)
CHUNKS = st.lists(
    st.sampled_from(
        [
            b"3\r\nabc\r\n",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"0\r\n\r\n",
            b"0\r\nA: b\r\n\r\n",
            b"03\r\nabc\r\n",
            b"3;a=b\r\nabc\r\n",
            b"3 \r\nabc\r\n",
            b"3\nabc\n",
            b"3\r\nabcd\r\n",
            b"0x3\r\nabc\r\n",
            b"g\r\n",
            b"-3\r\nabc\r\n",
            b"3;\r\nabc\r\n",
            b'3;a="b\r\n"\r\nabc\r\n',
            b"0\r\nContent-Length: 5\r\n\r\n",
            b"0\r\nA : b\r\n\r\n",
            b"000000000000000003\r\nabc\r\n",
            b"ffffffffffffffffff\r\n",
            b"0\r\n\n",
            b"3\r\nabc",
            b"A\r\n0123456789\r\n",
            b"3;a b\r\nabc\r\n",
            b"0\r\nTrailer\r\n\r\n",
        ]
    ),
    max_size=4,
).map(b"".join)
BODIES = st.sampled_from([b"", b"", b"abc", b"abc", b"\r\n", b"abcd"]) | CHUNKS
REQUESTS = st.builds(
    lambda method, target, version, end, host, fields, final, body: (
        method + b" " + target + b" " + version + end + host + b"".join(fields) + final + body
    ),
    METHODS,
    TARGETS,
    VERSIONS,
    LINE_ENDS,
    st.sampled_from([HOST] * 6 + [b"", HOST + HOST]),
    st.lists(FIELDS, max_size=3),
    st.sampled_from([b"\r\n"] * 8 + [b"\n", b""]),
    BODIES,
)
STATUS_LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200 OK",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 ",
        b"HTTP/1.1 204 No",
        b"HTTP/1.1 304 Not",
        b"HTTP/1.1 100 Continue",
        b"HTTP/1.1 103 Hints",
        b"HTTP/1.0 200 OK",
        b"HTTP/1.1 99 x",
        b"HTTP/1.1 600 x",
        b"HTTP/1.1  200 OK",
        b"HTTP/1.1 20 OK",
        b"HTTP/1.1 2000 OK",
        b"HTTP/1.1 200 \xe9",
        b"HTTP/1.1 404 a\tb",
        b"ICY 200 OK",
    ]
)
RESPONSES = st.builds(
    lambda line, end, fields, final, body: line + end + b"".join(fields) + final + body,
    STATUS_LINES,
    LINE_ENDS,
    st.lists(FIELDS | st.sampled_from([b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n"]), max_size=3),
    st.sampled_from([b"\r\n"] * 8 + [b"\n", b""]),
    BODIES,
)


@settings(max_examples=150, deadline=None)
@given(st.lists(REQUESTS, min_size=1, max_size=2).map(b"".join))
def test_requests_end_where_llhttp_and_h11_end_them(data: bytes) -> None:
    """Every request that we read along ends where both other parsers say, or we read no further."""
    ours = _ours_requests(data)
    assert _agrees(ours, _llhttp(data, httptools.HttpRequestParser)), "llhttp"
    assert _agrees(ours, _h11(data, h11.SERVER)), "h11"


@dataclass
class _OursResponses:
    ends: list[int]
    by_close: bool


def _ours_responses(data: bytes, methods: list[bytes]) -> _OursResponses:
    reader = ResponseReader()
    for method in methods:
        reader.expect(method)
    reader.feed(data)
    ends, position = [], 0
    while (piece := reader.next()) is not None:
        position += len(piece.data)
        if piece.end:
            ends.append(position)
            if piece.head is not None and piece.head.closes:
                break
    return _OursResponses(ends, reader.until_close)


@settings(max_examples=150, deadline=None)
@given(st.lists(RESPONSES, min_size=1, max_size=2).map(b"".join))
def test_responses_end_where_llhttp_and_h11_end_them(data: bytes) -> None:
    """Every response that we read along ends where both other parsers say, or we read no further."""
    ours = _ours_responses(data, [b"GET", b"GET"])
    if b"HTTP/1.1 1" not in data:  # llhttp counts interim responses as messages, h11 and we do not
        assert _agrees(ours.ends, _llhttp(data, httptools.HttpResponseParser)), "llhttp"
    assert _agrees(ours.ends, _h11(data, h11.CLIENT, [b"GET", b"GET"])), "h11"


@settings(max_examples=80, deadline=None)
@given(RESPONSES)
def test_responses_to_head_end_where_h11_ends_them(data: bytes) -> None:
    """A response to HEAD ends with its head, as h11 says."""
    assert _agrees(_ours_responses(data, [b"HEAD"]).ends, _h11(data, h11.CLIENT, [b"HEAD"]))


HOSTILE = {
    "both lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "lengths that differ": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "lengths that agree": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a list of lengths": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc",
    "a signed length": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc",
    "bare LF": b"GET / HTTP/1.1\nHost: a\n\n",
    "one bare LF": b"GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
    "a lone CR": b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rz\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
    "a blank before the colon": b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc",
    "an unknown coding": b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "a coding twice": b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
    "chunked in HTTP/1.0": b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a NUL": b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00\r\n\r\n",
    "no field name": b"GET / HTTP/1.1\r\nHost: a\r\n: x\r\n\r\n",
    "an unknown method": b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n",
    "an unknown version": b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    "an empty line first": b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "a TLS hello": b"\x16\x03\x01\x02\x00\x01\x00",
    "a head over the limit": b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 65536 + b"\r\n\r\n",
    "CONNECT with a path": b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
    "an authority without CONNECT": b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_doubtful_requests_are_raw(data: bytes) -> None:
    """What parsers could disagree about is not read along."""
    reader = RequestReader()
    reader.feed(data)
    assert reader.next() is None
    assert reader.raw
    assert reader.rest() == data


def test_agreement_is_tested_on_requests_that_are_read() -> None:
    """The parsers that ours is held against do end plain requests, one after the other, where ours does."""
    data = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\n"
    data += b"PUT /b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n"
    ours = _ours_requests(data)
    assert len(ours) == 3
    assert ours == _llhttp(data, httptools.HttpRequestParser) == _h11(data, h11.SERVER)
