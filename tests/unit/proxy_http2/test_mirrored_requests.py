from kdev.proxy.http2 import frames
from kdev.proxy.http2.mirrored_requests import COPIES_LIMIT, MirroredRequests
from kdev.proxy.http2.origin import OriginConnection
from kdev.proxy.interface import Outcome, Shadowing
from kdev.tunnel.messages import Mode
from tests.unit.proxy_http2.simulation import Session, take

GREETING = frames.settings({frames.MAX_CONCURRENT_STREAMS: 10_000})


class Bench:
    """Copies of requests that the test tells of, on the way to ``origin``."""

    def __init__(self, session: Session | None = None) -> None:
        self.session = session or Session(mode=Mode.MIRROR)
        self.mirrored = MirroredRequests(80, self._current, self)
        self.origin = OriginConnection(self.mirrored)
        self.origin.receive(GREETING)
        take(self.origin.out)

    def _current(self) -> Shadowing | None:
        return self.session  # type: ignore[return-value]  # stands in for the agent's

    def developer(self, session: Shadowing) -> OriginConnection | None:
        """Implements ``MirrorOrigins``."""
        return self.origin

    def ask(self, stream_id: int, path: bytes = b"/b", *, end: bool = True) -> None:
        """Tell of a request."""
        self.mirrored.request(stream_id, ((b":method", b"POST"), (b":path", path)), end=end)

    @property
    def outcomes(self) -> list[Outcome]:
        """What was reported."""
        return [report.outcome for report in self.session.reports]


def test_matching_requests_are_copied_whole() -> None:
    """Head, body and end of a matching request go out on a stream of the copy's own; others do not."""
    bench = Bench()
    bench.ask(1, b"/a")
    assert not bench.origin.out
    bench.ask(7, end=False)
    bench.mirrored.body(7, b"ab", end=False)
    bench.mirrored.body(7, b"cd", end=True)
    sent = take(bench.origin.out)
    assert sent.endswith(
        frames.frame(frames.DATA, 0, 1, b"ab") + frames.frame(frames.DATA, frames.END_STREAM, 1, b"cd")
    )
    assert bench.outcomes == [Outcome.MIRRORED]


def test_a_process_at_a_breakpoint_costs_copies_and_nothing_else() -> None:
    """Copies beyond the limit are dropped and counted until earlier ones have been answered."""
    bench = Bench()
    for place in range(COPIES_LIMIT + 5):
        bench.ask(2 * place + 1)
    assert bench.outcomes == [Outcome.MIRRORED] * COPIES_LIMIT + [Outcome.DROPPED] * 5
    bench.origin.receive(frames.header_frames(frames.HEADERS, frames.END_STREAM, 1, b"\x88"))
    bench.ask(9001)
    assert bench.outcomes[-1] is Outcome.MIRRORED


def test_a_copy_that_is_not_read_is_cut() -> None:
    """A body beyond what may wait is cut off by RST_STREAM(CANCEL), and the rest of it is forgotten."""
    bench = Bench()
    bench.ask(1, end=False)
    for _ in range(70):
        bench.mirrored.body(1, bytes(16_384), end=False)
    assert take(bench.origin.out).endswith(frames.reset(1, frames.CANCEL))
    assert bench.outcomes == [Outcome.DROPPED]
    assert not bench.mirrored.follows(1)


def test_a_cancelled_request_cancels_its_copy() -> None:
    """The process learns that the caller has lost interest, also while it answers."""
    bench = Bench()
    bench.ask(1)
    take(bench.origin.out)
    bench.mirrored.cancelled(1, frames.CANCEL)
    assert take(bench.origin.out) == frames.reset(1, frames.CANCEL)
    assert bench.outcomes == [Outcome.MIRRORED]


def test_a_lost_process_drops_unfinished_copies() -> None:
    """Copies whose requests have not ended are counted as dropped, with the cause."""
    bench = Bench()
    bench.ask(1, end=False)
    bench.mirrored.origin_lost(bench.origin, "it ended")
    assert [report.detail for report in bench.session.reports] == ["it ended"]
    assert not bench.mirrored.follows(1)


def test_a_steal_session_finds_the_connection_misplaced() -> None:
    """What is forwarded verbatim cannot be stolen from: the client is to be asked to connect anew."""
    bench = Bench(Session(mode=Mode.STEAL))
    bench.ask(1)
    assert bench.mirrored.misplaced
    assert not bench.origin.out
