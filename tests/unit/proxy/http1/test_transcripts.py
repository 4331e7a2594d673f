"""Transcripts of the readers: what goes in, and the pieces that come out."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdev.proxy.http1.head import Body
from kdev.proxy.http1.message import MAX_HEAD_PARTS
from kdev.proxy.http1.request import RequestReader
from kdev.proxy.http1.response import ResponseReader

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKED = (
    b"PUT /c HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;x=y\r\n!\r\n0\r\nx-sum: 1\r\n\r\n"
)
UPGRADE = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def _pieces(reader: RequestReader | ResponseReader, *parts: bytes) -> list[tuple[bytes, bool]]:
    pieces = []
    for part in parts:
        reader.feed(part)
        while (piece := reader.next()) is not None:
            pieces.append((piece.data, piece.end))
    return pieces


def test_pipelined_requests_come_one_by_one() -> None:
    """Requests that arrive together are told apart."""
    reader = RequestReader()
    assert _pieces(reader, GET + POST + CHUNKED + GET) == [(GET, True), (POST, True), (CHUNKED, True), (GET, True)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([GET, POST, CHUNKED]), min_size=1, max_size=4), st.data())
def test_any_chunks_give_the_same_messages(messages: list[bytes], data: st.DataObject) -> None:
    """However the bytes are cut, the pieces join to the same messages."""
    stream = b"".join(messages)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=30)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    found, message = [], b""
    for piece, end in _pieces(RequestReader(), *parts):
        message += piece
        if end:
            found.append(message)
            message = b""
    assert found == messages
    assert message == b""


def test_a_body_is_given_as_it_comes() -> None:
    """A body is not waited for: what is there of it is taken."""
    reader = RequestReader()
    assert _pieces(reader, POST[:-3], POST[-3:-1], POST[-1:]) == [
        (POST[:-3], False),
        (POST[-3:-1], False),
        (POST[-1:], True),
    ]


def test_expect_continue_changes_no_framing() -> None:
    """A body that waits for 100 (Continue) ends where its length says."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
    assert _pieces(RequestReader(), head, b"ok" + GET) == [(head, False), (b"ok", True), (GET, True)]


def test_what_follows_an_upgrade_waits_for_its_answer() -> None:
    """After an offer to leave HTTP nothing is read, until it is known whether that was taken up."""
    reader = RequestReader()
    assert _pieces(reader, UPGRADE + GET) == [(UPGRADE, True)]
    assert reader.switching
    reader.settle(switched=False)
    assert _pieces(reader, b"") == [(GET, True)]


def test_what_follows_a_switch_is_raw() -> None:
    """Once HTTP has ended, the rest is taken unread."""
    reader = RequestReader()
    _pieces(reader, UPGRADE + b"\x81\x00")
    reader.settle(switched=True)
    assert reader.raw
    assert reader.rest() == b"\x81\x00"


def test_nothing_is_read_behind_the_last_request() -> None:
    """After ``Connection: close`` no request can follow."""
    last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    reader = RequestReader()
    assert _pieces(reader, last + GET) == [(last, True)]
    assert reader.raw
    assert reader.rest() == GET


@pytest.mark.parametrize(
    "part", [b"G", b"GET", b"GET /", b"GET / HTTP/1.1", b"GET / HTTP/1.1\r", GET[:-2], GET[:-1], b"CONNECT a:1 HT"]
)
def test_the_beginning_of_a_head_is_waited_for(part: bytes) -> None:
    """An incomplete head that may become a good one is kept."""
    reader = RequestReader()
    assert _pieces(reader, part) == []
    assert reader.head_begun
    assert not reader.raw


@pytest.mark.parametrize(
    "part", [b"g", b"GEX", b"GET\t", b"GET / HTTP/2", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\n X", GET[:-2] + b"a b:"]
)
def test_what_cannot_become_a_head_is_raw_at_once(part: bytes) -> None:
    """Nobody waits for the end of a head that will not be accepted anyway."""
    reader = RequestReader()
    assert _pieces(reader, part) == []
    assert reader.raw


def test_a_head_in_too_many_parts_is_raw() -> None:
    """Reading a head again for each byte of it has a limit."""
    reader = RequestReader()
    _pieces(reader, b"GET / HTTP/1.1\r\n", *[b"a" for _ in range(MAX_HEAD_PARTS)])
    assert reader.raw


def test_a_bad_chunk_makes_the_rest_raw_within_the_message() -> None:
    """What came before the doubt has been taken; the message has not ended."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    reader = RequestReader()
    assert _pieces(reader, head + b"1\r\na\r\nzz\r\n") == [(head + b"1\r\na\r\n", False)]
    assert reader.raw
    assert reader.in_body
    assert reader.rest() == b"zz\r\n"


def test_a_chunk_is_given_with_its_end() -> None:
    """Nothing of a chunk waits for the next one: each may be an event that somebody waits for."""
    head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert _pieces(RequestReader(), head + b"1\r\na\r\n", b"1\r\nb\r\n") == [
        (head + b"1\r\na\r\n", False),
        (b"1\r\nb\r\n", False),
    ]


def _answers(*methods: bytes) -> ResponseReader:
    reader = ResponseReader()
    for method in methods:
        reader.expect(method)
    return reader


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def test_interim_responses_end_nothing() -> None:
    """1xx is forwarded, and the final response is still waited for."""
    reader = _answers(b"POST")
    assert _pieces(reader, CONTINUE + b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK)[-1] == (OK, True)
    assert reader.idle


@pytest.mark.parametrize(
    ("method", "response"),
    [
        (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n"),
        (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n"),
    ],
)
def test_responses_without_a_body_end_with_their_head(method: bytes, response: bytes) -> None:
    """HEAD, 204 and 304 have no body, whatever the fields say."""
    assert _pieces(_answers(method, b"GET"), response + OK) == [(response, True), (OK, True)]


def test_a_response_without_a_length_ends_with_the_connection() -> None:
    """Everything belongs to it."""
    reader = _answers(b"GET")
    head = b"HTTP/1.1 200 OK\r\n\r\n"
    assert _pieces(reader, head + b"a", b"b") == [(head + b"a", False), (b"b", False)]
    assert reader.until_close


@pytest.mark.parametrize(
    ("method", "response"),
    [
        (b"GET", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
        (b"CONNECT", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
    ],
)
def test_a_switch_ends_http(method: bytes, response: bytes) -> None:
    """After 101, or a CONNECT that succeeded, the rest is taken unread."""
    reader = _answers(method)
    assert _pieces(reader, response + b"\x81\x00") == [(response, True)]
    assert reader.switched
    assert reader.rest() == b"\x81\x00"


def test_a_connect_that_fails_goes_on_in_http() -> None:
    """Its response has a body like any other."""
    refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"
    assert _pieces(_answers(b"CONNECT", b"GET"), refused + OK) == [(refused, True), (OK, True)]


def test_an_answer_to_nothing_is_raw() -> None:
    """Bytes that nobody asked for are no response."""
    reader = _answers()
    assert _pieces(reader, OK) == []
    assert reader.raw


def test_whole_messages_are_taken_at_once() -> None:
    """The fast way gives what the general way gives, and only for whole plain messages."""
    reader = RequestReader()
    piece = reader.whole(POST)
    assert piece is not None
    assert (piece.data, piece.end, piece.data[piece.head_size :]) == (POST, True, b"hello")
    assert [reader.whole(part) for part in (POST[:-1], GET + GET, UPGRADE, CHUNKED, b"", b"x")] == [None] * 6
    answers = _answers(b"GET")
    assert answers.whole(CONTINUE) is None
    assert answers.whole(OK) is not None
    assert answers.idle


def test_a_chunked_body_has_no_length() -> None:
    """The head says how the body ends."""
    reader = RequestReader()
    reader.feed(CHUNKED)
    piece = reader.next()
    assert piece is not None
    assert piece.head is not None
    assert piece.head.body == Body.CHUNKED
