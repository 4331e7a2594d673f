from collections.abc import Callable

import pytest

from kdev.proxy.http2 import frames
from kdev.proxy.http2.header_fields import encode_stateless
from kdev.proxy.http2.origin import OriginConnection
from kdev.proxy.http2.router import Router
from kdev.proxy.interface import Outcome, Shadowing
from kdev.tunnel.messages import Mode
from tests.unit.proxy_http2.simulation import Session, take

GREETING = frames.settings({frames.HEADER_TABLE_SIZE: 0})
PAGE = encode_stateless([(b":status", b"200")])


class Bench:
    """A router between the test and its two sides; connections to the process are kept in ``developers``."""

    def __init__(self, session: Session | None = None) -> None:
        self.session: Session | None = session or Session()
        self.now = 0.0
        self.developers: list[OriginConnection] = []
        self.pods: list[OriginConnection] = []
        self.router = Router(80, self._current, self, lambda: self.now)
        self.router.from_client(frames.PREFACE + frames.settings({}))
        self.router.from_pod(frames.settings({}))
        self.client_reads()
        self.pod_reads()

    def _current(self) -> Shadowing | None:
        return self.session  # type: ignore[return-value]  # stands in for the agent's

    def developer(self, session: Shadowing) -> OriginConnection | None:
        """Implements ``Origins``."""
        for origin in self.developers:
            if not origin.going_away:
                return origin
        return self._opened(self.developers)

    def pod(self) -> OriginConnection:
        """Implements ``Origins``."""
        return self._opened(self.pods)

    def _opened(self, origins: list[OriginConnection]) -> OriginConnection:
        origins.append(OriginConnection(self.router.stolen))
        origins[-1].out.clear()
        return origins[-1]

    def ask(self, stream_id: int, path: bytes, *, method: bytes = b"GET", end: bool = True) -> bytes:
        """Send a request; returns its frame."""
        block = b"\x20" + encode_stateless([(b":method", method), (b":path", path)])
        sent = frames.header_frames(frames.HEADERS, int(end), stream_id, block)
        self.router.from_client(sent)
        return sent

    def client_reads(self) -> bytes:
        """What the client is sent."""
        return take(self.router.to_client)

    def pod_reads(self) -> bytes:
        """What the pod is sent on the client's connection."""
        return take(self.router.to_pod)


def test_settings_ask_both_sides_for_blocks_that_stand_for_themselves() -> None:
    """HEADER_TABLE_SIZE becomes 0 and MAX_FRAME_SIZE the least in both directions; the rest passes."""
    router = Router(80, lambda: None, Bench(), lambda: 0.0)
    told = {frames.MAX_FRAME_SIZE: 40_000, frames.INITIAL_WINDOW_SIZE: 7}
    expected = frames.settings({frames.MAX_FRAME_SIZE: 16_384, frames.INITIAL_WINDOW_SIZE: 7, 1: 0})
    router.from_client(frames.PREFACE + frames.settings(told))
    assert take(router.to_pod) == frames.PREFACE + expected
    assert not router.ready
    router.from_pod(frames.settings(told))
    assert router.ready
    assert take(router.to_client) == expected


def test_unmatched_requests_pass_verbatim() -> None:
    """A request that no filter wants, its body and its answer are the same bytes on both sides."""
    bench = Bench()
    sent = bench.ask(1, b"/a", end=False)
    body = frames.frame(frames.DATA, frames.PADDED | 1, 1, b"\x03abc" + bytes(3))
    bench.router.from_client(body)
    assert bench.pod_reads() == sent + body
    answer = frames.header_frames(frames.HEADERS, 0, 1, b"\x20" + PAGE) + frames.frame(frames.DATA, 1, 1, b"x")
    bench.router.from_pod(answer)
    assert bench.client_reads() == answer


def test_the_pods_goaway_covers_what_the_process_has_begun() -> None:
    """The client must not repeat a stolen request elsewhere; streams the pod has not served are refused."""
    bench = Bench()
    bench.ask(1, b"/a")
    bench.ask(3, b"/a")
    bench.ask(5, b"/b")
    bench.client_reads()
    bench.router.from_pod(frames.goaway(1, frames.NO_ERROR, b"bye"))
    assert bench.client_reads() == frames.reset(3, frames.REFUSED_STREAM) + frames.goaway(5, 0, b"bye")


def test_a_pod_that_closes_its_idle_connection_leaves_stolen_streams_alone() -> None:
    """The client is told to go elsewhere with what is new; what the process is answering stays, and is not repeated."""
    bench = Bench()
    bench.ask(1, b"/a")
    bench.ask(3, b"/b")
    bench.client_reads()
    bench.router.pod_ended()
    assert bench.client_reads() == frames.goaway(3, frames.NO_ERROR)
    assert not bench.router.idle
    bench.router.pod_ended()
    assert bench.client_reads() == b""


def test_late_frames_of_a_stolen_stream_do_not_reach_the_pod() -> None:
    """The pod would take them for frames of a stream it does not know, which ends a connection."""
    bench = Bench()
    bench.ask(1, b"/b")
    bench.router.from_client(frames.reset(1, frames.CANCEL))
    bench.router.from_client(frames.window_update(1, 5) + frames.frame(frames.DATA, 0, 1, b"late"))
    assert bench.pod_reads() == b""


def test_a_lost_process_is_a_502_for_a_post_and_nothing_for_a_get() -> None:
    """What may have been acted on is not repeated; what is safe is asked of the pod."""
    bench = Bench()
    bench.ask(1, b"/b", method=b"POST")
    bench.ask(3, b"/b")
    bench.client_reads()
    bench.developers[0].going_away = True
    bench.router.stolen.origin_lost(bench.developers[0], None, "it ended")
    answer = bench.client_reads()
    assert frames.number(answer, 5) == 1
    assert b"it ended" in answer
    bench.pods[0].receive(GREETING + frames.header_frames(frames.HEADERS, 1, 1, PAGE))
    assert frames.number(bench.client_reads(), 5) == 3
    assert bench.session is not None
    assert [report.outcome for report in bench.session.reports] == [Outcome.FAILED, Outcome.FELL_BACK]


def test_what_was_not_delivered_is_asked_of_the_pod_whatever_its_method() -> None:
    """A POST of which no byte reached the process cannot have been acted on."""
    bench = Bench()
    bench.ask(1, b"/b", method=b"POST")
    bench.developers[0].going_away = True
    bench.router.stolen.origin_lost(bench.developers[0], 0, "it refused")
    assert len(bench.pods) == 1


def test_a_process_that_leaves_is_asked_again_on_another_connection() -> None:
    """Streams above GOAWAY's last one were not looked at: they go to the same process anew."""
    bench = Bench()
    bench.ask(1, b"/b", method=b"POST")
    bench.ask(3, b"/b", method=b"POST")
    bench.developers[0].receive(GREETING + frames.goaway(1, frames.NO_ERROR))
    assert len(bench.developers) == 2
    bench.developers[1].receive(GREETING + frames.header_frames(frames.HEADERS, 1, 1, PAGE))
    assert frames.number(bench.client_reads(), 5) == 3


def test_a_process_that_is_busy_is_waited_for() -> None:
    """Beyond MAX_CONCURRENT_STREAMS a request waits for its turn, and the pod never sees it."""
    bench = Bench()
    bench.ask(1, b"/b")
    bench.developers[0].receive(frames.settings({frames.MAX_CONCURRENT_STREAMS: 1}))
    bench.ask(3, b"/b")
    assert len(bench.developers[0].waiting) == 1
    bench.developers[0].receive(frames.header_frames(frames.HEADERS, 1, 1, PAGE))
    assert not bench.developers[0].waiting
    assert bench.pod_reads() == b""


def test_time_is_over_for_a_request_without_an_answer() -> None:
    """A POST that waited too long is answered 504, and the process is told to stop."""
    bench = Bench(Session(timeout=5))
    bench.ask(1, b"/b", method=b"POST")
    take(bench.developers[0].out)
    assert bench.router.stolen.next_deadline == 5
    bench.now = 5.0
    bench.router.stolen.expire()
    assert b"no answer within 5 s" in bench.client_reads()
    assert take(bench.developers[0].out) == frames.reset(1, frames.CANCEL)
    assert bench.router.stolen.next_deadline is None


@pytest.mark.parametrize("session", [None, Session(mode=Mode.MIRROR)], ids=["none", "mirror"])
def test_a_connection_outlives_the_session_it_was_made_for(session: Session | None) -> None:
    """Without a session everything is the pod's; for a mirror session the client is asked to connect anew."""
    bench = Bench()
    bench.session = session
    sent = bench.ask(1, b"/b")
    assert bench.pod_reads() == sent
    assert bench.client_reads() == (b"" if session is None else frames.goaway(frames.LARGEST, frames.NO_ERROR))


HOSTILE: dict[str, Callable[[], bytes]] = {
    "too large a frame": lambda: frames.frame(frames.DATA, 0, 1, bytes(16_385)),
    "an interrupted block": lambda: frames.frame(frames.HEADERS, 0, 1) + frames.frame(frames.PING, 0, 0, bytes(8)),
    "empty continuations": lambda: frames.frame(frames.HEADERS, 0, 1) + frames.frame(frames.CONTINUATION, 0, 1),
    "an endless block": lambda: (
        frames.frame(frames.HEADERS, 0, 1) + frames.frame(frames.CONTINUATION, 0, 1, bytes(16_384)) * 17
    ),
    "padding beyond the frame": lambda: frames.frame(frames.HEADERS, frames.PADDED | 4, 1, b"\xff"),
    "a broken block": lambda: frames.header_frames(frames.HEADERS, 1, 1, b"\xff\xff\xff\xff\xff\xff"),
    "broken settings": lambda: frames.frame(frames.SETTINGS, 0, 0, b"1"),
    "a flood of settings": lambda: frames.settings({}) * 101,
}


@pytest.mark.parametrize("attack", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_client_is_refused(attack: Callable[[], bytes]) -> None:
    """What breaks the protocol, or would cost memory without bound, ends the connection."""
    bench = Bench()
    with pytest.raises(frames.Http2Error):
        bench.router.from_client(attack())


def test_a_client_that_cancels_all_the_time_is_left_to_the_pod() -> None:
    """Requests cancelled faster than they can be answered stop being stolen after a thousand."""
    bench = Bench()
    for stream_id in range(1, 2 * 1001, 2):
        bench.ask(stream_id, b"/b")
        bench.router.from_client(frames.reset(stream_id, frames.CANCEL))
    sent = bench.ask(5001, b"/b")
    assert bench.pod_reads() == sent
