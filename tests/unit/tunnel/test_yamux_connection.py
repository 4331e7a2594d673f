"""A yamux connection as a transcript: frames in, events and frames out."""

import pytest

from kdev.tunnel.yamux.connection import Connection, Role
from kdev.tunnel.yamux.events import (
    DataReceived,
    Event,
    Pong,
    StreamEnded,
    StreamOpened,
    StreamReset,
    WentAway,
    WindowOpened,
)
from kdev.tunnel.yamux.frames import HEADER, INITIAL_WINDOW, LARGEST_WINDOW, Flag, FrameType, GoAwayCode, encode
from kdev.tunnel.yamux.limits import Limits
from kdev.tunnel.yamux.protocol_error import LocalProtocolError, RemoteProtocolError

SYN, ACK, FIN, RST = Flag.SYN, Flag.ACK, Flag.FIN, Flag.RST


def data(stream: int, payload: bytes, flags: int = 0) -> bytes:
    """A data frame."""
    return encode(FrameType.DATA, flags, stream, len(payload)) + payload


def update(stream: int, increment: int = 0, flags: int = 0) -> bytes:
    """A window update."""
    return encode(FrameType.WINDOW_UPDATE, flags, stream, increment)


def server(limits: Limits | None = None) -> Connection:
    """A server to which the client's stream 1 is open."""
    connection = Connection(Role.SERVER, limits)
    connection.receive_data(update(1, flags=SYN))
    connection.data_to_send()
    return connection


def test_frame_header_is_as_the_specification_lays_it_out() -> None:
    """Version, type, flags, stream and length stand in network order."""
    assert encode(FrameType.WINDOW_UPDATE, SYN | ACK, 0x01020304, 0x05060708) == bytes.fromhex(
        "00010003 01020304 05060708"
    )


def test_client_opens_odd_and_server_even_streams() -> None:
    """Ids are given out from 1 by the client, from 2 by the server, each with SYN."""
    client, other = Connection(Role.CLIENT), Connection(Role.SERVER)
    assert [client.open().id, client.open().id, other.open().id, other.open().id] == [1, 3, 2, 4]
    assert client.data_to_send() == update(1, flags=SYN) + update(3, flags=SYN)


def test_accepting_acknowledges_at_once() -> None:
    """SYN is answered with ACK, without waiting for a user."""
    connection = Connection(Role.SERVER)
    assert connection.receive_data(update(1, flags=SYN)) == [StreamOpened(1)]
    assert connection.data_to_send() == update(1, flags=ACK)


def test_a_larger_window_is_announced_with_the_opening() -> None:
    """What a window has beyond the initial one goes with SYN and with ACK, and is not taken for consumption."""
    larger = Limits(window=2 * INITIAL_WINDOW)
    client, other = Connection(Role.CLIENT, larger), Connection(Role.SERVER, larger)
    stream = client.open()
    other.receive_data(client.data_to_send())
    assert client.receive_data(other.data_to_send()) == [WindowOpened(1)]
    assert stream.send_window == other.streams[1].send_window == 2 * INITIAL_WINDOW
    client.receive_data(update(1, flags=RST))
    assert stream.delivered == 0


def test_data_with_syn_opens_and_delivers() -> None:
    """A stream may begin with a data frame, and even end with it."""
    connection = Connection(Role.SERVER)
    assert connection.receive_data(data(1, b"hello", SYN | FIN)) == [
        StreamOpened(1),
        DataReceived(1, b"hello"),
        StreamEnded(1),
    ]


def test_a_frame_is_delivered_as_it_arrives() -> None:
    """The first bytes of a long frame are not held back until the last."""
    connection = server()
    frame = data(1, b"abcdef", FIN)
    events = [connection.receive_data(frame[start:stop]) for start, stop in ((0, 7), (7, 14), (14, 18))]
    assert events == [[], [DataReceived(1, b"ab")], [DataReceived(1, b"cdef"), StreamEnded(1)]]


def test_sending_stops_at_the_window() -> None:
    """What the window has no room for is not taken."""
    connection = server()
    stream = connection.streams[1]
    assert stream.send(b"x" * (INITIAL_WINDOW + 1)) == INITIAL_WINDOW
    assert stream.send(b"x") == 0
    assert connection.receive_data(update(1, 10)) == [WindowOpened(1)]
    assert stream.send(b"x" * 11) == 10


def test_large_sends_are_cut_into_frames() -> None:
    """No frame is longer than the limit, so that another stream may have its turn."""
    connection = server(Limits(frame=4))
    assert connection.streams[1].send(b"abcdefghij") == 10
    assert connection.data_to_send() == data(1, b"abcd") + data(1, b"efgh") + data(1, b"ij")


def test_credit_is_given_back_by_the_half_window() -> None:
    """Consumption is announced once it is worth a frame."""
    connection = server()
    connection.receive_data(data(1, b"x" * INITIAL_WINDOW))
    connection.streams[1].consumed(INITIAL_WINDOW // 2 - 1)
    assert connection.data_to_send() == b""
    connection.streams[1].consumed(1)
    assert connection.data_to_send() == update(1, INITIAL_WINDOW // 2)
    assert connection.unread == INITIAL_WINDOW // 2


@pytest.mark.parametrize("end", ["end", "reset"])
def test_the_last_frame_tells_exactly_what_was_consumed(end: str) -> None:
    """With a direction's end goes the credit for every byte consumed, so that the sender knows what was delivered."""
    client, other = Connection(Role.CLIENT), Connection(Role.SERVER)
    stream = client.open()
    stream.send(b"x" * 1000)
    other.receive_data(client.data_to_send())
    other.streams[1].consumed(600)
    getattr(other.streams[1], end)()
    assert stream.delivered is None
    client.receive_data(other.data_to_send())
    assert stream.delivered == 600


def test_half_closed_in_both_directions_is_closed() -> None:
    """A stream goes on after one direction's end, and is forgotten after the other's."""
    connection = server()
    stream = connection.streams[1]
    stream.end()
    stream.end()
    assert connection.data_to_send() == update(1, flags=FIN)
    assert connection.receive_data(data(1, b"more")) == [DataReceived(1, b"more")]
    assert connection.receive_data(update(1, flags=FIN)) == [StreamEnded(1)]
    assert connection.streams == {}


def test_after_its_end_nothing_can_be_sent() -> None:
    """Sending on a stream ended here, or gone, is this end's own fault."""
    connection = server()
    connection.streams[1].end()
    with pytest.raises(LocalProtocolError):
        connection.streams[1].send(b"x")


def test_reset_forgets_the_stream_and_what_it_held() -> None:
    """A reset, from either end, gives back the room of bytes nobody will consume; later frames are ignored."""
    connection = server()
    stream = connection.streams[1]
    connection.receive_data(data(1, b"x" * 100))
    stream.reset()
    assert (connection.unread, connection.data_to_send()) == (0, update(1, flags=RST))
    assert connection.receive_data(data(1, b"late") + update(1, 5)) == []
    connection.receive_data(update(3, flags=SYN))
    assert connection.receive_data(data(3, b"x") + update(3, flags=RST)) == [DataReceived(3, b"x"), StreamReset(3)]
    assert (connection.unread, connection.streams) == (0, {})


def test_what_nobody_will_consume_needs_no_room() -> None:
    """Discarded bytes count neither against the buffers nor as delivered, those that come later included."""
    connection = server()
    stream = connection.streams[1]
    connection.receive_data(data(1, b"x" * 100))
    stream.consumed(40)
    stream.discard()
    connection.receive_data(data(1, b"x" * 100))
    stream.consumed(100)
    assert connection.unread == 0
    stream.end()
    assert connection.data_to_send() == update(1, 40, FIN)
    connection.receive_data(update(1, flags=FIN))
    assert (connection.unread, connection.streams) == (0, {})


def test_a_reset_in_the_middle_of_a_frame_drops_the_rest_of_it() -> None:
    """What still arrives of the frame is discarded, and the next frame is understood."""
    connection = server()
    frame = data(1, b"abcdef")
    connection.receive_data(frame[:15])
    connection.streams[1].reset()
    assert connection.receive_data(frame[15:] + update(3, flags=SYN)) == [StreamOpened(3)]


def test_pings_are_answered_and_answers_told() -> None:
    """A ping comes back with its value."""
    client, other = Connection(Role.CLIENT), Connection(Role.SERVER)
    client.ping(42)
    assert other.receive_data(client.data_to_send()) == []
    assert client.receive_data(other.data_to_send()) == [Pong(42)]


def test_after_go_away_streams_go_on_and_none_is_opened() -> None:
    """An end that goes away refuses what the other opens; the other does not open any more."""
    client, other = Connection(Role.CLIENT), Connection(Role.SERVER)
    client.open().send(b"hello")
    other.receive_data(client.data_to_send())
    client.receive_data(other.data_to_send())
    other.go_away(GoAwayCode.NORMAL)
    assert other.receive_data(update(3, flags=SYN)) == []
    assert other.data_to_send().endswith(update(3, flags=RST))
    assert client.receive_data(encode(FrameType.GO_AWAY, 0, 0, GoAwayCode.NORMAL)) == [WentAway(GoAwayCode.NORMAL)]
    assert not client.can_open
    with pytest.raises(LocalProtocolError):
        client.open()
    assert client.streams[1].send(b"more") == 4


def test_streams_beyond_the_limit_are_reset() -> None:
    """The other end may have only so many streams."""
    connection = server(Limits(streams=1))
    assert connection.receive_data(data(3, b"hello", SYN)) == []
    assert connection.data_to_send() == update(3, flags=RST)


def test_unanswered_streams_are_bounded() -> None:
    """No more are opened than the other end may queue, until it acknowledges or resets some."""
    client = Connection(Role.CLIENT, Limits(unanswered=2))
    client.open()
    client.open()
    assert not client.can_open
    client.receive_data(update(1, flags=ACK))
    assert client.can_open
    client.open()
    assert not client.can_open
    client.receive_data(update(3, flags=RST))
    assert client.can_open


def test_the_stream_that_overflows_the_buffers_is_reset() -> None:
    """Bytes that nobody consumes are bounded over all streams; the others go on."""
    connection = server(Limits(buffered=100))
    connection.receive_data(update(3, flags=SYN) + data(1, b"x" * 60))
    connection.data_to_send()
    (event,) = connection.receive_data(data(3, b"y" * 60))
    assert isinstance(event, StreamReset)
    assert event.reason
    assert connection.data_to_send() == update(3, flags=RST)
    assert connection.receive_data(data(1, b"z")) == [DataReceived(1, b"z")]


def test_a_peer_that_asks_and_does_not_read_is_cut_off() -> None:
    """Answers that nobody fetches do not pile up."""
    connection = Connection(Role.SERVER, Limits(replies=100))
    with pytest.raises(RemoteProtocolError):
        connection.receive_data(encode(FrameType.PING, SYN, 0, 1) * 9)


def test_a_window_below_the_initial_one_cannot_be_had() -> None:
    """The other end assumes 256 KiB, whatever this one would like."""
    with pytest.raises(ValueError, match="initial"):
        Limits(window=INITIAL_WINDOW - 1)


VIOLATIONS = {
    "version": HEADER.pack(1, 0, 0, 1, 0),
    "type": HEADER.pack(0, 4, 0, 1, 0),
    "flags": HEADER.pack(0, 0, 16, 1, 0),
    "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "window exceeded": encode(FrameType.DATA, 0, 1, INITIAL_WINDOW + 1),
    "window overflow": update(1, LARGEST_WINDOW),
    "opened twice": update(1, flags=SYN),
    "id of this end": update(2, flags=SYN),
    "never opened": data(2, b"x"),
    "data on the session": data(0, b"x"),
    "data after the end": update(1, flags=FIN) + data(1, b"x"),
    "ended twice": update(1, flags=FIN) + update(1, flags=FIN),
    "ping on a stream": encode(FrameType.PING, SYN, 1, 0),
    "go-away on a stream": encode(FrameType.GO_AWAY, 0, 1, 0),
    "go-away code": encode(FrameType.GO_AWAY, 0, 0, 3),
}


@pytest.mark.parametrize("violation", VIOLATIONS.values(), ids=VIOLATIONS)
def test_violations_are_the_other_ends_fault_and_answered_with_go_away(violation: bytes) -> None:
    """Each breach of the protocol is blamed on who sent it, who is told before the connection ends."""
    connection = server()
    with pytest.raises(RemoteProtocolError):
        connection.receive_data(violation)
    assert connection.data_to_send().endswith(encode(FrameType.GO_AWAY, 0, 0, GoAwayCode.PROTOCOL_ERROR))


def test_streams_opened_out_of_order_are_accepted() -> None:
    """Ids need not come in their order: the reference implementation's do not."""
    connection = Connection(Role.SERVER)
    events: list[Event] = connection.receive_data(update(5, flags=SYN) + update(3, flags=SYN))
    assert events == [StreamOpened(5), StreamOpened(3)]
