"""What becomes of the packets of connections that bypass the tap: passed on, or with the word to leave in them.

No I/O: packets in, verdicts out. Nothing is guessed about where a response begins. For HTTP/1 a request was seen
that acknowledged all the application had said, so its response begins at exactly that number; for HTTP/2 two
segments in a row were whole frames, so a frame begins where the second one does.

Overwriting keeps every length and needs no memory. Inserted bytes shift the application's sequence numbers for
the rest of the connection, so that from then on every packet of it must be translated here.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from kdev.agent.connections import Connection
from kdev.agent.nudge_segments import LONGEST, SEQUENCE_SPACE, Segment, is_before, parse_segment
from kdev.agent.nudge_words import CLOSE_LINE, GOAWAY, REQUEST_HEAD, closing_response, whole_frames

_STREAMS_REMEMBERED = 256
"""Streams kept to recognise HTTP/2 by an answer to one of them; more than sidecars keep open on one connection."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do with a packet, which always goes on.

    Attributes:
        packet: The bytes to send instead; None for the same.
        translated: The packet belongs to a connection with inserted bytes and is right as it is sent.
        shifts: The connection whose numbers this very packet begins to shift.
    """

    packet: bytes | None = None
    translated: bool = False
    shifts: Connection | None = None


PASS = Verdict()


@dataclass(frozen=True, slots=True)
class _Insertion:
    """Bytes that the application never wrote, at the sequence number where it wrote what follows them."""

    at: int
    data: bytes


class Flows:
    """The watched connections.

    Args:
        insert: Whether bytes may be inserted where nothing can be overwritten.
    """

    def __init__(self, *, insert: bool) -> None:
        self._insert = insert
        self._flows: dict[Connection, _Flow] = {}

    @property
    def watched(self) -> frozenset[Connection]:
        """All connections whose packets are wanted."""
        return frozenset(self._flows)

    @property
    def shifted(self) -> frozenset[Connection]:
        """Those whose packets must be translated to their end."""
        return frozenset(connection for connection, flow in self._flows.items() if flow.insertion is not None)

    def watch(self, connections: Iterable[Connection]) -> None:
        """Ask these connections' clients to leave, from the next response on."""
        for connection in connections:
            self._flows.setdefault(connection, _Flow(connection, insert=self._insert))

    def forget(self, connections: Iterable[Connection]) -> None:
        """Stop looking at connections, which must have ended if they are shifted."""
        for connection in connections:
            self._flows.pop(connection, None)

    def packet(self, packet: bytes) -> Verdict:
        """Judge one packet."""
        segment = parse_segment(packet)
        if segment is None:
            return PASS
        as_client, as_app = segment.between()
        if (flow := self._flows.get(as_client)) is not None:
            return flow.from_client(segment)
        if (flow := self._flows.get(as_app)) is not None:
            return flow.from_app(segment)
        return PASS


class _Flow:
    """One connection."""

    def __init__(self, connection: Connection, *, insert: bool) -> None:
        self.insertion: _Insertion | None = None
        self._connection = connection
        self._may_insert = insert
        self._response_at: int | None = None
        self._frame_at: int | None = None
        self._opened: frozenset[int] = frozenset()
        self._is_http2 = False

    def from_client(self, segment: Segment) -> Verdict:
        if self.insertion is not None:
            return _translated_from_client(segment, self.insertion)
        if not segment.body:
            return PASS
        if REQUEST_HEAD.match(segment.body):
            self._response_at = segment.acknowledgement
        elif segment.acknowledgement != self._response_at:
            self._response_at = None
        if (frames := whole_frames(segment.body)) is not None:
            opened = self._opened | frames.opened
            self._opened = opened if len(opened) <= _STREAMS_REMEMBERED else frames.opened
        return PASS

    def from_app(self, segment: Segment) -> Verdict:
        if self.insertion is not None:
            return _translated_from_app(segment, self.insertion)
        if not segment.body or len(segment.packet) > LONGEST:
            return PASS
        if segment.sequence == self._response_at:
            return self._ask_in_response(segment)
        return self._ask_between_frames(segment) if self._may_insert else PASS

    def _ask_in_response(self, segment: Segment) -> Verdict:
        """HTTP/1; a response that is sent again is found again and gets the same bytes."""
        head = closing_response(segment.body, insert=self._may_insert)
        if head is None:
            return PASS
        if head.inserted_at is not None:
            return self._shift(_Insertion(segment.sequence + head.inserted_at, CLOSE_LINE), segment)
        return Verdict(segment.rewritten(body=head.data))

    def _ask_between_frames(self, segment: Segment) -> Verdict:
        """HTTP/2, which shows itself by answering a stream that its client opened."""
        frames = whole_frames(segment.body)
        if frames is None:
            self._frame_at = None
            return PASS
        self._is_http2 = self._is_http2 or bool(frames.opened & self._opened)
        if self._is_http2 and self._frame_at == segment.sequence:
            return self._shift(_Insertion(segment.sequence, GOAWAY), segment)
        self._frame_at = (segment.sequence + len(segment.body)) % SEQUENCE_SPACE if frames.ends_between else None
        return PASS

    def _shift(self, insertion: _Insertion, segment: Segment) -> Verdict:
        self.insertion = _Insertion(insertion.at % SEQUENCE_SPACE, insertion.data)
        return Verdict(_translated_from_app(segment, self.insertion).packet, translated=True, shifts=self._connection)


def _translated_from_client(segment: Segment, insertion: _Insertion) -> Verdict:
    """Acknowledge to the application only what it wrote itself."""
    acknowledged = segment.acknowledgement
    beyond = (acknowledged - insertion.at) % SEQUENCE_SPACE
    if is_before(insertion.at, acknowledged):
        acknowledged -= min(beyond, len(insertion.data))
    return Verdict(segment.rewritten(acknowledgement=acknowledged), translated=True)


def _translated_from_app(segment: Segment, insertion: _Insertion) -> Verdict:
    """Number what the application wrote behind the insertion, and insert again into what it sends again.

    A segment that the kernel's copy cut short is sent as short as it came; TCP sends the missing bytes again.
    """
    before = (insertion.at - segment.sequence) % SEQUENCE_SPACE
    if is_before(insertion.at, segment.sequence) or (before == 0 and not segment.body):
        return Verdict(segment.rewritten(sequence=segment.sequence + len(insertion.data)), translated=True)
    if before >= len(segment.body):
        return Verdict(segment.rewritten(), translated=True)
    if len(segment.packet) > LONGEST:
        # There is no room, and half a translation would corrupt the stream: untranslated, it meets the guard's reset.
        return PASS
    return Verdict(
        segment.rewritten(body=segment.body[:before] + insertion.data + segment.body[before:]), translated=True
    )
