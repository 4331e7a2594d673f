"""The words to leave, in responses of every shape."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdev.agent.nudge_words import CLOSE_LINE, GOAWAY, closing_response, whole_frames

DATE = b"Date: Sat, 21 Nov 2026 01:05:14 GMT"


def response(*headers: bytes, status: bytes = b"HTTP/1.1 200 OK", body: bytes = b"body") -> bytes:
    """A response's bytes."""
    return b"\r\n".join([status, *headers, b"", body])


def frame(kind: int, flags: int = 0, stream: int = 1, payload: bytes = b"") -> bytes:
    """An HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Connection: keep-alive", b"connection: close     "),
        (b"connection:Keep-Alive  ", b"connection: close      "),
        (DATE, b"connection: close".ljust(len(DATE))),
        (b"Keep-Alive: timeout=5", b"connection: close    "),
        (b"server: a-long-enough-one", b"connection: close        "),
    ],
)
def test_a_header_is_given_up_at_the_same_length(before: bytes, after: bytes) -> None:
    """Nothing moves, and all other bytes are the server's."""
    data = response(b"a: 1", before, b"b: 2")
    head = closing_response(data, insert=False)
    assert head is not None
    assert head.inserted_at is None
    assert head.data == response(b"a: 1", after, b"b: 2")


def test_the_connection_header_goes_before_a_date() -> None:
    """A head that says both keep-alive and close would be read differently by different clients."""
    head = closing_response(response(DATE, b"Connection: keep-alive"), insert=False)
    assert head is not None
    assert head.data.startswith(response(DATE, b"connection: close     ", body=b""))


@pytest.mark.parametrize("headers", [(), (b"content-length: 4",), (b"server: short",)])
def test_a_line_is_inserted_where_nothing_can_be_given_up(headers: tuple[bytes, ...]) -> None:
    """It becomes the last header, if inserting is allowed."""
    data = response(*headers)
    assert closing_response(data, insert=False) is None
    head = closing_response(data, insert=True)
    assert head is not None
    assert head.inserted_at is not None
    assert head.data == response(*headers, b"connection: close")
    assert head.data[head.inserted_at :].startswith(CLOSE_LINE)


@pytest.mark.parametrize(
    "data",
    [
        response(b"connection: close", DATE),
        response(b"connection: upgrade", DATE, status=b"HTTP/1.1 101 Switching Protocols"),
        response(b"connection: x-trace, keep-alive"),
        response(DATE, status=b"HTTP/1.1 100 Continue"),
        response(DATE, status=b"HTTP/2 200"),
        b"HTTP/1.1 200 OK\r\n" + DATE + b"\r\nx-unfinished: ",
        DATE + b"\r\n\r\n",
        b"",
    ],
)
def test_other_responses_are_left_alone(data: bytes) -> None:
    """Those that say what becomes of the connection, that are not final, not whole, or no responses."""
    assert closing_response(data, insert=True) is None


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes_keep_their_length_or_grow_by_one_line(data: bytes, insert: bool) -> None:
    """Whatever follows the status line, what was not given up is all still there."""
    data = b"HTTP/1.1 200 OK\r\n" + data
    head = closing_response(data, insert=insert)
    if head is not None:
        assert len(head.data) - len(data) == (0 if head.inserted_at is None else len(CLOSE_LINE))


def test_goaway_refuses_nothing() -> None:
    """Type 7, stream 0, the highest last stream, NO_ERROR."""
    frames = whole_frames(GOAWAY)
    assert frames is not None
    assert frames.streams == frozenset()
    assert GOAWAY[9:] == b"\x7f\xff\xff\xff" + bytes(4)


def test_whole_frames_tell_their_streams() -> None:
    """Opened ones are those with HEADERS; another frame may follow once a header block has ended."""
    chain = frame(1, 0x4, 5, b"block") + frame(0, 0, 3, b"data") + frame(8, 0, 0, bytes(4))
    frames = whole_frames(chain)
    assert frames is not None
    assert (frames.opened, frames.streams, frames.ends_between) == ({5}, {3, 5}, True)
    open_block = whole_frames(chain + frame(1, 0, 7, b"block"))
    assert open_block is not None
    assert not open_block.ends_between


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        frame(0, 0, 1, b"data")[:-1],
        frame(0, 0, 1, b"data") + b"\0\0",
        frame(0, 0, 0, b"data on no stream"),
        frame(4, 0, 1, b"settings on a stream"),
        frame(0x20, 0, 1),
    ],
)
def test_what_is_no_chain_of_frames_is_none(data: bytes) -> None:
    """One byte too few or too many, or frames that HTTP/2 forbids."""
    assert whole_frames(data) is None
