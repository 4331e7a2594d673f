"""Two connections back to back: whatever is done in whatever order, in whatever pieces, arrives as it was sent."""

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kdev.tunnel.yamux.connection import Connection, Role
from kdev.tunnel.yamux.events import DataReceived, StreamEnded, StreamOpened, StreamReset
from kdev.tunnel.yamux.frames import INITIAL_WINDOW
from kdev.tunnel.yamux.limits import Limits
from kdev.tunnel.yamux.stream import Stream
from tests.fuzz.yamux_decoder import decode

LIMITS = Limits(frame=1000, buffered=64 * INITIAL_WINDOW)


class _End:
    """One end, and what a test remembers of it."""

    def __init__(self, role: Role) -> None:
        self.connection = Connection(role, LIMITS)
        self.streams: dict[int, Stream] = {}
        self.sent: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.received: defaultdict[int, bytearray] = defaultdict(bytearray)
        self.consumed: defaultdict[int, int] = defaultdict(int)
        self.ended: set[int] = set()
        self.reset: set[int] = set()
        self.wire = b""

    def fetch(self) -> None:
        self.wire += self.connection.data_to_send()

    def take(self, data: bytes) -> None:
        for event in self.connection.receive_data(data):
            match event:
                case StreamOpened(stream=stream) if stream in self.connection.streams:
                    self.streams[stream] = self.connection.streams[stream]
                case DataReceived(stream=stream, data=payload):
                    self.received[stream] += payload
                case StreamEnded(stream=stream):
                    self.ended.add(stream)
                case StreamReset(stream=stream):
                    self.reset.add(stream)


class BackToBack(RuleBasedStateMachine):
    """Both ends do what they like; the wire delivers when, and in what pieces, it likes."""

    @initialize()
    def begin(self) -> None:
        """Two ends, nothing open."""
        self.ends = (_End(Role.CLIENT), _End(Role.SERVER))

    def _stream(self, side: int, pick: int) -> Stream | None:
        streams = self.ends[side].streams
        return streams[sorted(streams)[pick % len(streams)]] if streams else None

    @rule(side=st.integers(0, 1))
    def open(self, side: int) -> None:
        """Open a stream."""
        end = self.ends[side]
        if end.connection.can_open and len(end.streams) < 6:
            stream = end.connection.open()
            end.streams[stream.id] = stream

    @rule(side=st.integers(0, 1), pick=st.integers(0, 9), size=st.sampled_from((0, 1, 13, 999, 5000, 200_000)))
    def send(self, side: int, pick: int, size: int) -> None:
        """Send on a stream as much as its window takes."""
        stream = self._stream(side, pick)
        if stream is None or stream.local_ended or stream.gone:
            return
        sent = self.ends[side].sent[stream.id]
        payload = bytes((len(sent) + offset) % 251 for offset in range(min(size, 5000))) * max(1, size // 5000)
        window = stream.send_window
        taken = stream.send(payload)
        assert taken == min(len(payload), window)
        sent += payload[:taken]

    @rule(side=st.integers(0, 1), pick=st.integers(0, 9), share=st.floats(0, 1))
    def consume(self, side: int, pick: int, share: float) -> None:
        """Consume some of what was received."""
        end, stream = self.ends[side], self._stream(side, pick)
        if stream is not None and not stream.gone:
            size = int((len(end.received[stream.id]) - end.consumed[stream.id]) * share)
            end.consumed[stream.id] += size
            stream.consumed(size)

    @rule(side=st.integers(0, 1), pick=st.integers(0, 9))
    def end(self, side: int, pick: int) -> None:
        """End one direction."""
        stream = self._stream(side, pick)
        if stream is not None:
            stream.end()

    @rule(side=st.integers(0, 1), pick=st.integers(0, 9))
    @precondition(lambda self: len(self.ends[0].streams) > 2)
    def reset(self, side: int, pick: int) -> None:
        """Reset a stream."""
        stream = self._stream(side, pick)
        if stream is not None:
            stream.reset()

    @rule(side=st.integers(0, 1), value=st.integers(0, 2**32 - 1))
    def ping(self, side: int, value: int) -> None:
        """Ping in between."""
        self.ends[side].connection.ping(value)

    @rule(side=st.integers(0, 1), size=st.one_of(st.integers(1, 30), st.integers(1, 100_000)))
    def deliver(self, side: int, size: int) -> None:
        """Let some bytes of the wire arrive."""
        sender, receiver = self.ends[side], self.ends[1 - side]
        sender.fetch()
        piece, sender.wire = sender.wire[:size], sender.wire[size:]
        receiver.take(piece)

    @invariant()
    def what_arrived_was_sent(self) -> None:
        """Nothing is lost, doubled, reordered or invented; nobody holds more than a window."""
        for here, there in (self.ends, reversed(self.ends)):
            for stream, received in here.received.items():
                assert there.sent[stream].startswith(received)
                assert len(received) - here.consumed[stream] <= LIMITS.window
                if stream in here.ended:
                    assert received == there.sent[stream]

    def teardown(self) -> None:
        """When the wire has delivered everything, so have the streams."""
        while any(end.connection.out or end.wire for end in self.ends):
            for side in (0, 1):
                self.deliver(side, 1 << 30)
        for here, there in (self.ends, reversed(self.ends)):
            for stream_id, stream in here.streams.items():
                other = there.streams.get(stream_id)
                if other is None or stream.gone or other.gone:
                    continue
                assert here.sent[stream_id] == there.received[stream_id]
                assert stream.send_window == other.receive_window
                if other.local_ended and stream.delivered is not None:
                    assert stream.delivered <= there.consumed[stream_id]
            live = [stream for stream in here.streams.values() if not stream.gone]
            assert here.connection.unread == sum(stream.unread for stream in live)


TestBackToBack = BackToBack.TestCase
TestBackToBack.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=8))
def test_any_bytes_end_in_events_or_a_protocol_error(pieces: list[bytes]) -> None:
    """Random bytes neither crash the decoder nor make it hold more than its limits."""
    decode(pieces)


FRAMES = st.builds(
    lambda version, kind, flags, stream, length, payload: (
        bytes([version, kind])
        + flags.to_bytes(2, "big")
        + stream.to_bytes(4, "big")
        + length.to_bytes(4, "big")
        + payload
    ),
    st.sampled_from((0, 0, 0, 1)),
    st.sampled_from((0, 1, 2, 3, 9)),
    st.integers(0, 17),
    st.integers(0, 6),
    st.one_of(st.integers(0, 20), st.just(2**32 - 1)),
    st.binary(max_size=20),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(FRAMES, max_size=12))
def test_any_frames_end_in_events_or_a_protocol_error(frames: list[bytes]) -> None:
    """Frames that look right and make no sense neither crash the decoder nor make it hold more than its limits."""
    decode(frames)
    decode([b"".join(frames)])
