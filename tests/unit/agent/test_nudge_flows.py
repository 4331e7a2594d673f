"""Connections as transcripts: what each end sends, and what the other gets."""

from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from kdev.agent.connections import Connection
from kdev.agent.nudge_flows import PASS, Flows, Verdict
from kdev.agent.nudge_segments import Segment, parse_segment
from kdev.agent.nudge_words import CLOSE_LINE, GOAWAY
from tests.unit.agent.test_nudge_segments import packet
from tests.unit.agent.test_nudge_words import DATE, frame, response

CLIENT, APP = ip_address("127.0.0.6").packed, ip_address("10.1.2.3").packed
CONNECTION = Connection((CLIENT, 40000), (APP, 8080))
REQUEST = b"GET / HTTP/1.1\r\nhost: app\r\n\r\n"
BARE = response(b"content-length: 4")


class Wire:
    """Both ends of one connection; each ``from_`` returns what arrives at the other end."""

    def __init__(self, *, insert: bool = True) -> None:
        self.flows = Flows(insert=insert)
        self.flows.watch([CONNECTION])
        self.client_next, self.app_next = 100, 2**32 - 20
        self.client_expects = self.app_next
        self.verdict = PASS

    def from_client(self, body: bytes) -> Segment:
        """The client acknowledges all it has got, and sends."""
        sent = packet((CLIENT, APP), body, sequence=self.client_next, acknowledgement=self.client_expects)
        self.client_next += len(body)
        return self._arrived(sent)

    def from_app(self, body: bytes, *, again_from: int | None = None) -> Segment:
        """The application sends, or sends bytes again."""
        sequence = self.app_next if again_from is None else again_from
        sent = bytearray(packet((APP, CLIENT), body, sequence=sequence % 2**32, acknowledgement=self.client_next))
        sent[20:24] = sent[22:24] + sent[20:22]
        if again_from is None:
            self.app_next += len(body)
        arrived = self._arrived(bytes(sent))
        if again_from is None:
            assert arrived.sequence == self.client_expects
            self.client_expects = (self.client_expects + len(arrived.body)) % 2**32
        return arrived

    def _arrived(self, sent: bytes) -> Segment:
        self.verdict = self.flows.packet(sent)
        arrived = parse_segment(self.verdict.packet or sent)
        assert arrived is not None
        return arrived


def test_the_response_to_a_seen_request_is_overwritten() -> None:
    """Same length, no translation, and the rest of the connection passes."""
    wire = Wire()
    wire.from_client(REQUEST)
    assert wire.from_app(response(DATE)).body == response(b"connection: close".ljust(len(DATE)))
    assert wire.verdict == Verdict(wire.verdict.packet)
    wire.from_app(b"more of the body")
    assert wire.verdict == PASS
    assert wire.flows.shifted == frozenset()


def test_a_client_that_stays_is_asked_again() -> None:
    """Each response is a new occasion."""
    wire = Wire()
    for _ in range(2):
        wire.from_client(REQUEST)
        assert b"connection: close" in wire.from_app(response(DATE)).body


def test_a_response_whose_request_was_not_seen_passes() -> None:
    """What looks like a head may be the middle of a body."""
    wire = Wire()
    wire.from_app(response(DATE))
    assert wire.verdict == PASS
    wire.from_client(b"the end of an upload")
    wire.from_app(response(DATE))
    assert wire.verdict == PASS


def test_a_long_upload_s_response_is_known() -> None:
    """Further segments of a request, before the application has said anything, change nothing."""
    wire = Wire()
    wire.from_client(REQUEST.replace(b"GET", b"POST"))
    wire.from_client(b"body" * 100)
    assert b"connection: close" in wire.from_app(response(DATE)).body


def test_a_response_sent_again_gets_the_same_bytes() -> None:
    """A lost packet must not bring back the old text beside the new."""
    wire = Wire()
    wire.from_client(REQUEST)
    at = wire.app_next
    first = wire.from_app(response(DATE))
    assert wire.from_app(response(DATE), again_from=at).body == first.body


def test_an_inserted_line_shifts_the_connection() -> None:
    """The application is acknowledged what it wrote, the client gets everything in order."""
    wire = Wire()
    wire.from_client(REQUEST)
    assert wire.from_app(BARE).body == BARE.replace(b"\r\n\r\n", b"\r\n" + CLOSE_LINE + b"\r\n")
    assert (wire.verdict.shifts, wire.verdict.translated) == (CONNECTION, True)
    assert wire.flows.shifted == {CONNECTION}
    wire.from_app(b"more")
    assert (wire.verdict.shifts, wire.verdict.translated) == (None, True)
    assert wire.from_client(b"").acknowledgement == wire.app_next % 2**32
    wire.from_app(b"")
    assert wire.verdict.translated


def test_a_half_acknowledged_insertion_is_none_to_the_application() -> None:
    """An acknowledgement inside the inserted bytes covers what stands before them."""
    wire = Wire()
    wire.from_client(REQUEST)
    at = wire.app_next
    wire.from_app(BARE)
    wire.client_expects = (at + BARE.index(b"\r\n\r\n") + 2 + 5) % 2**32
    assert wire.from_client(b"").acknowledgement == (at + BARE.index(b"\r\n\r\n") + 2) % 2**32


@given(st.integers(0, len(BARE) - 1), st.integers(1, len(BARE)))
def test_what_is_sent_again_after_an_insertion_fits_what_was_sent(start: int, length: int) -> None:
    """Any part of the response, sent again, is the same part of what the client has got."""
    wire = Wire()
    wire.from_client(REQUEST)
    at = wire.app_next
    got = wire.from_app(BARE).body
    part = wire.from_app(BARE[start : start + length], again_from=at + start)
    offset = (part.sequence - at) % 2**32
    assert got[offset : offset + len(part.body)] == part.body


def test_without_leave_nothing_is_inserted() -> None:
    """A connection that cannot be guarded keeps its numbers."""
    wire = Wire(insert=False)
    wire.from_client(REQUEST)
    wire.from_app(BARE)
    assert wire.verdict == PASS
    wire.from_client(frame(1, 0x5, 1, b"block"))
    for _ in range(3):
        wire.from_app(frame(1, 0x5, 1, b"block"))
        assert wire.verdict == PASS


def test_goaway_comes_between_two_segments_of_whole_frames() -> None:
    """The first one proves where the second begins."""
    wire = Wire()
    wire.from_client(frame(1, 0x5, 7, b"block"))
    assert wire.from_app(frame(1, 0x4, 7, b"block")).body == frame(1, 0x4, 7, b"block")
    data = frame(0, 0x1, 7, b"data")
    assert wire.from_app(data).body == GOAWAY + data
    assert wire.verdict.shifts == CONNECTION


def test_goaway_never_comes_into_a_header_block() -> None:
    """Nothing may stand between HEADERS and CONTINUATION."""
    wire = Wire()
    wire.from_client(frame(1, 0x5, 7, b"block"))
    wire.from_app(frame(1, 0, 7, b"block"))
    wire.from_app(frame(9, 0x4, 7, b"rest"))
    assert wire.verdict == PASS
    wire.from_app(frame(0, 0, 7, b"data"))
    assert wire.verdict.shifts == CONNECTION


def test_what_only_looks_like_frames_is_left_alone() -> None:
    """Without an answer to a stream that the client opened, it is another protocol."""
    wire = Wire()
    wire.from_client(b"binary")
    for _ in range(3):
        wire.from_app(frame(1, 0x4, 7, b"block"))
        assert wire.verdict == PASS


def test_a_frame_across_segments_hides_the_boundary() -> None:
    """A segment that is not whole frames says nothing about where the next one begins."""
    wire = Wire()
    wire.from_client(frame(1, 0x5, 7, b"block"))
    wire.from_app(frame(1, 0x4, 7, b"block"))
    long_frame = frame(0, 0, 7, bytes(300))
    wire.from_app(long_frame[:100])
    wire.from_app(long_frame[100:])
    wire.from_app(frame(0, 0x1, 7, b"data"))
    assert wire.verdict == PASS


def test_other_packets_pass() -> None:
    """Connections that share the ports, forgotten ones, and what is no TCP."""
    wire = Wire()
    wire.flows.forget([CONNECTION])
    wire.from_client(REQUEST)
    wire.from_app(response(DATE))
    assert wire.verdict == PASS
    assert wire.flows.packet(b"no packet") == PASS
    assert wire.flows.watched == frozenset()


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=40)), max_size=12))
def test_whatever_is_said_nothing_is_lost(talk: list[tuple[bool, bytes]]) -> None:
    """Both ends get each other's bytes in order; the client at most with one insertion among them."""
    wire = Wire()
    said = heard = b""
    for by_client, body in [(True, REQUEST), (False, BARE), *talk]:
        if by_client:
            assert wire.from_client(body).body == body
        else:
            said += body
            heard += wire.from_app(body).body
    assert heard.replace(CLOSE_LINE, b"", 1) == said
