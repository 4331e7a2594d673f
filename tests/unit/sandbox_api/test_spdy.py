"""SPDY/3.1 as a transcript."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kdev.sandbox.api.streaming import spdy
from kdev.sandbox.api.streaming.spdy import Connection, DataReceived, PingReceived, StreamOpened, StreamReset


def test_dictionary_is_the_specification_s():
    """The zlib dictionary is the draft's, byte for byte: its length and hash are those of every implementation."""
    assert len(spdy.DICTIONARY) == 1423
    digest = hashlib.sha256(spdy.DICTIONARY).hexdigest()
    assert digest == "51d27341373f923f3cd88e1eb7162aeaa3723d7585ff2399201dc06498407f02"


def test_streams_data_reset_and_ping_arrive_as_events():
    """What a client does on streams arrives as events in its order."""
    client, server = Connection(), Connection()
    sent = (
        client.open(1, {"StreamType": "error", "Port": "8080"}, fin=True)
        + client.open(3, {"streamtype": "data", "port": "8080"})
        + spdy.data_frame(3, b"hello")
        + spdy.data_frame(3, b"", fin=True)
        + spdy.ping_frame(7)
        + spdy.reset_frame(3, 5)
    )
    assert list(server.feed(sent)) == [
        StreamOpened(1, {"streamtype": "error", "port": "8080"}, fin=True),
        StreamOpened(3, {"streamtype": "data", "port": "8080"}, fin=False),
        DataReceived(3, b"hello", fin=False),
        DataReceived(3, b"", fin=True),
        PingReceived(7),
        StreamReset(3),
    ]


def test_replies_keep_the_compression_context_in_step():
    """A reply's headers are read even though nobody wants them: the next block depends on them."""
    client, server = Connection(), Connection()
    assert list(client.feed(server.reply(1) + server.reply(3))) == []
    assert list(client.feed(server.open(2, {"a": "b"}))) == [StreamOpened(2, {"a": "b"}, fin=False)]


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=64), max_size=8), st.integers(1, 40))
def test_any_chunking_gives_the_same_events(pieces: list[bytes], size: int):
    """Frames may be cut anywhere."""
    client, server = Connection(), Connection()
    sent = client.open(1, {"port": "1"}) + b"".join(spdy.data_frame(1, piece) for piece in pieces)
    events = [event for start in range(0, len(sent), size) for event in server.feed(sent[start : start + size])]
    assert events[1:] == [DataReceived(1, piece, fin=False) for piece in pieces]


@pytest.mark.parametrize(
    "frame",
    [
        b"\x80\x02\x00\x01\x00\x00\x00\x0a" + bytes(10),
        b"\x80\x03\x00\x01\x00\x00\x00\x0e" + bytes(10) + b"junk",
        b"\x80\x03\x00\x06\x00\x00\x00\x01\x00",
    ],
)
def test_malformed_frames_are_refused(frame: bytes):
    """A wrong version, a block that is no zlib and a short ping end the connection."""
    with pytest.raises(spdy.SpdyError):
        list(Connection().feed(frame))


def test_a_header_bomb_is_refused():
    """A small block that inflates without end is not inflated to its end."""
    bomb = Connection().open(1, {"a": "x" * (1 << 20)})
    with pytest.raises(spdy.SpdyError):
        list(Connection().feed(bomb))
