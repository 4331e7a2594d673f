"""Mirrored requests as records: whole, in pieces, and cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdev.tunnel.records import CUT, RECORD_LIMIT, Cut, Record, RecordReader, encode_records
from kdev.tunnel.yamux.protocol_error import RemoteProtocolError


def test_a_small_message_is_one_record() -> None:
    """A length whose top bit says that it is the last, and the bytes."""
    wire = encode_records(b"GET / HTTP/1.1\r\n\r\n", last=True)
    assert wire == b"\x80\x00\x00\x12GET / HTTP/1.1\r\n\r\n"
    assert RecordReader().feed(wire) == [Record(b"GET / HTTP/1.1\r\n\r\n", last=True)]


def test_a_message_may_end_without_bytes() -> None:
    """That a message has ended may be known only after its last byte was written."""
    wire = encode_records(b"head", last=False) + encode_records(b"", last=False) + encode_records(b"", last=True)
    assert RecordReader().feed(wire) == [Record(b"head", last=False), Record(b"", last=True)]


def test_large_data_is_cut_into_records() -> None:
    """No record is longer than the limit, and only the last one ends the message."""
    records = RecordReader().feed(encode_records(b"x" * (2 * RECORD_LIMIT + 1), last=True))
    assert [(len(record.data), record.last) for record in records if isinstance(record, Record)] == [
        (RECORD_LIMIT, False),
        (RECORD_LIMIT, False),
        (1, True),
    ]


def test_a_cut_message_is_told_and_the_next_one_is_whole() -> None:
    """What was cut is not taken for a request; the stream goes on."""
    wire = encode_records(b"POST / ", last=False) + CUT + encode_records(b"GET /", last=True)
    assert RecordReader().feed(wire) == [Record(b"POST / ", last=False), Cut(), Record(b"GET /", last=True)]


@pytest.mark.parametrize(
    ("wire", "inside"),
    [
        (b"", False),
        (b"\x80", True),
        (encode_records(b"GET /", last=True), False),
        (encode_records(b"GET /", last=False), True),
        (encode_records(b"GET /", last=False) + CUT, False),
        (encode_records(b"GET /", last=True)[:-1], True),
    ],
)
def test_a_stream_that_ends_inside_a_message_has_cut_it(wire: bytes, *, inside: bool) -> None:
    """A reader knows at any byte whether a message has begun and not ended."""
    reader = RecordReader()
    reader.feed(wire)
    assert reader.inside is inside


def test_a_record_beyond_the_limit_is_refused() -> None:
    """Nobody makes the laptop hold more than one record."""
    with pytest.raises(RemoteProtocolError):
        RecordReader().feed((RECORD_LIMIT + 1).to_bytes(4, "big"))


@given(st.lists(st.tuples(st.binary(max_size=50), st.booleans())), st.lists(st.integers(1, 20)))
def test_records_survive_any_chunking(parts: list[tuple[bytes, bool]], sizes: list[int]) -> None:
    """However the bytes are cut on the way, the records are those that were written."""
    wire = b"".join(encode_records(data, last=last) for data, last in parts)
    reader = RecordReader()
    records = []
    for size in sizes:
        records += reader.feed(wire[:size])
        wire = wire[size:]
    records += reader.feed(wire)
    assert records == [Record(data, last) for data, last in parts if data or last]


@given(st.binary())
def test_any_bytes_are_records_or_a_protocol_error(data: bytes) -> None:
    """Nothing else comes of what the other end sends."""
    try:
        RecordReader().feed(data)
    except RemoteProtocolError:
        return
