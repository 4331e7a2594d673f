"""The stolen streams of one client connection: their windows, their answers, and what happens when a server fails.

The client's frames come in, frames for the client go out; in between stand ``OriginConnection``s, which the edge opens
on request. The caller's connection never notices what becomes of them: only single streams are answered or reset.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

from kdev.proxy.http2.client_window import ClientWindow
from kdev.proxy.http2.fallback import BAD_GATEWAY, GATEWAY_TIMEOUT, Mishap, Remedy, error_block, remedy
from kdev.proxy.http2.frames import (
    CANCEL,
    DATA,
    DEFAULT_WINDOW,
    END_STREAM,
    FLOW_CONTROL_ERROR,
    HEAD_SIZE,
    HEADERS,
    INTERNAL_ERROR,
    NO_ERROR,
    RST_STREAM,
    WINDOW_UPDATE,
    Frame,
    header_frames,
    number,
    payload_of,
    reset,
    split_data,
    window_update,
)
from kdev.proxy.http2.header_fields import Fields, SizeUpdateMark
from kdev.proxy.http2.origin import OriginConnection, OriginStream
from kdev.proxy.http2.stolen_stream import KeptRequest, StolenStream, WaitingFrame
from kdev.proxy.interface import Outcome, Report, Shadowing

STREAM_LIMIT: Final = 1000
"""Streams stolen at a time from one connection; with 64 KiB kept of each, 64 MiB is the most that waits."""

WAITING_LIMIT: Final = 100
"""Streams that wait for the process to take more at a time; further ones stay on the pod."""

UNSENT_SOFT_LIMIT: Final = 4 * 1024 * 1024
"""Request bytes not passed on, of all streams: beyond it the client gets no credit for its connection window."""

UNSENT_HARD_LIMIT: Final = 32 * 1024 * 1024
"""The same: beyond it (a client whose window the pod has made very large) the stream that grows is ended."""

CANCELLED_LIMIT: Final = 1000
"""Stolen requests cancelled before an answer, beyond the answered ones: such a client (CVE-2023-44487) is left to
the pod, which has its own defence."""

TOMBSTONES: Final = 1000
"""Ended streams remembered, whose late frames the pod must not see."""

_RESET_DETAIL = "the local process reset the stream"


class Origins(Protocol):
    """Opens connections; their outcome comes by ``StolenStreams.origin_lost``."""

    def developer(self, session: Shadowing) -> OriginConnection | None:
        """A connection to the developer's process that takes new streams; None if it cannot be reached now."""
        ...

    def pod(self) -> OriginConnection:
        """A connection to the pod's server besides the client's own."""
        ...


class StolenStreams:
    """Streams of one client that are served elsewhere; answers what its ``OriginConnection``s tell.

    Attributes:
        highest: Largest identifier of the client's that was ever stolen.
        upload_initial: The initial window that the client keeps to when sending.
        download_initial: The initial window that the client grants for answers.
        next_deadline: When ``expire`` has to be called; None if nothing waits.
    """

    def __init__(
        self, port: int, window: ClientWindow, mark: SizeUpdateMark, origins: Origins, clock: Callable[[], float]
    ) -> None:
        self.highest = 0
        self.upload_initial = self.download_initial = DEFAULT_WINDOW
        self.next_deadline: float | None = None
        self._port = port
        self._out = window.out
        self._window = window
        self._mark = mark
        self._origins = origins
        self._clock = clock
        self._streams: dict[int, StolenStream] = {}
        self._gone: OrderedDict[int, None] = OrderedDict()
        self._starved: dict[int, StolenStream] = {}
        self._unsent = self._owed = self._cancelled = 0

    def __contains__(self, stream_id: int) -> bool:
        return stream_id in self._streams

    def __len__(self) -> int:
        return len(self._streams)

    def buried(self, stream_id: int) -> bool:
        """Whether the stream was one of these and has ended."""
        return stream_id in self._gone

    # ---- from the client

    def steal(self, stream_id: int, session: Shadowing, fields: Fields, block: bytes, *, end: bool) -> bool:
        """Take a new stream of the client's; False if it must stay on the pod, which is then reported."""
        kept = KeptRequest(block)
        kept.ended = end
        stolen = StolenStream(stream_id, session, fields, kept)
        origin, obstacle = self._place(session)
        if origin is None:
            self._report(stolen, Outcome.FELL_BACK, obstacle)
            return False
        self.highest = stream_id
        self._streams[stream_id] = stolen
        stolen.upload_room, stolen.download_room = self.upload_initial, self.download_initial
        if session.timeout is not None:
            stolen.deadline = self._clock() + session.timeout
            self._await(stolen.deadline)
        stolen.send_kept(origin)
        if not end:
            self._grant(stolen)
        return True

    def _place(self, session: Shadowing) -> tuple[OriginConnection | None, str]:
        if len(self._streams) >= STREAM_LIMIT:
            return None, f"{STREAM_LIMIT} requests of one connection are with the local process already"
        if self._cancelled > CANCELLED_LIMIT:
            return None, "the caller cancels its requests faster than they can be answered"
        origin = self._origins.developer(session)
        if origin is None:
            return None, "the local process cannot be reached"
        if len(origin.waiting) >= WAITING_LIMIT:
            return None, "the local process takes no more requests at a time, and as many wait as may"
        return origin, ""

    def receive(self, frame: Frame) -> None:
        """Take a frame of the client's for one of these streams; HEADERS excepted."""
        stolen = self._streams[frame.stream_id]
        if frame.kind == DATA:
            self._upload(stolen, frame)
        elif frame.kind == RST_STREAM:
            self._cancelled += not stolen.stream.answered
            self._report(stolen, Outcome.STOLEN, "the caller cancelled it")
            self._abandon(stolen, number(frame.data, HEAD_SIZE))
        elif frame.kind == WINDOW_UPDATE:
            stolen.download_room += number(frame.data, HEAD_SIZE)
            self._flush(stolen)

    def trailers(self, stream_id: int, block: bytes) -> None:
        """Take the client's trailers for one of these streams."""
        stolen = self._streams[stream_id]
        if stolen.request_ended:
            return
        stolen.request_ended = True
        if stolen.kept:
            stolen.kept.end(block)
        stolen.origin.send_trailers(stolen.stream, block)
        self._finish(stolen)

    def _upload(self, stolen: StolenStream, frame: Frame) -> None:
        payload, cost = payload_of(frame.data), len(frame.data) - HEAD_SIZE
        self._owed += cost
        if stolen.request_ended:
            return self._credit()
        stolen.upload_room -= cost
        stolen.unsent += cost
        self._unsent += cost
        if stolen.upload_room < 0 < cost or self._unsent > UNSENT_HARD_LIMIT:
            self._fail(stolen, FLOW_CONTROL_ERROR, "the caller sent more than could be taken")
            return self._credit()
        stolen.request_ended = bool(frame.flags & END_STREAM)
        if stolen.kept and not stolen.kept.add(payload, end=stolen.request_ended):
            stolen.kept = None
        stolen.origin.send(stolen.stream, payload, cost, end=stolen.request_ended)
        self._credit()
        return self._finish(stolen)

    def _grant(self, stolen: StolenStream) -> None:
        """Let the client send as much on the stream as it could send if nothing waited.

        Its own idea of the stream's window comes from the pod's SETTINGS, which have nothing to do with what the
        developer's process takes; what arrives too early waits here.
        """
        target = max(self.upload_initial, DEFAULT_WINDOW)
        more = target - stolen.upload_room - stolen.unsent
        if more >= target // 2 and not stolen.request_ended and stolen.id in self._streams:
            stolen.upload_room += more
            self._out.append(window_update(stolen.id, more))

    def _credit(self) -> None:
        """Give the connection window back at once, so that a slow process does not stop the pod's streams."""
        if self._owed and self._unsent <= UNSENT_SOFT_LIMIT:
            self._out.append(window_update(0, self._owed))
            self._owed = 0

    def upload_initial_changed(self, initial: int) -> None:
        """The client has acknowledged the pod's SETTINGS_INITIAL_WINDOW_SIZE."""
        change, self.upload_initial = initial - self.upload_initial, initial
        for stolen in self._streams.values():
            stolen.upload_room += change
            self._grant(stolen)

    def download_initial_changed(self, initial: int) -> None:
        """The client's SETTINGS_INITIAL_WINDOW_SIZE is in force."""
        change, self.download_initial = initial - self.download_initial, initial
        for stolen in self._streams.values():
            stolen.download_room += change
        self.flush()

    # ---- from the servers

    def passed_on(self, stream: OriginStream, cost: int) -> None:
        """Implements ``Answers``."""
        stolen: StolenStream = stream.owner
        if cost:
            stolen.unsent -= cost
            self._unsent -= cost
            self._grant(stolen)
            self._credit()

    def answer_headers(self, stream: OriginStream, block: bytes, flags: int) -> None:
        """Implements ``Answers``."""
        stolen: StolenStream = stream.owner
        stolen.kept = stolen.deadline = None
        self._cancelled = max(0, self._cancelled - 1)
        if not stolen.reported and not stolen.at_pod:
            self._report(stolen, Outcome.STOLEN)
        frames = header_frames(HEADERS, flags & END_STREAM, stolen.id, self._mark.apply(block))
        self._answer(stolen, frames, 0, ends=bool(flags & END_STREAM))

    def answer_data(self, stream: OriginStream, data_frame: bytes, cost: int, flags: int) -> None:
        """Implements ``Answers``."""
        stolen: StolenStream = stream.owner
        frame = data_frame[:5] + stolen.id.to_bytes(4, "big") + data_frame[HEAD_SIZE:]
        self._answer(stolen, frame, cost, ends=bool(flags & END_STREAM))

    def answer_reset(self, stream: OriginStream, code: int, *, unprocessed: bool) -> None:
        """Implements ``Answers``: what the process says of its own accord goes to the caller as it is."""
        stolen: StolenStream = stream.owner
        if stolen.stream is not stream:
            return
        if unprocessed and not stream.answered:
            self._mend(stolen, "the local process refused the request", unprocessed=True, worth_trying=True)
        elif code == NO_ERROR and stream.answer_ended:
            self._stop_upload(stolen)
        else:
            self._report(stolen, Outcome.STOLEN, _RESET_DETAIL)
            self._out.append(reset(stolen.id, code))
            self._bury(stolen)

    def origin_lost(self, origin: OriginConnection, delivered: int | None, cause: str) -> None:
        """A connection is gone, or never came to be.

        Args:
            origin: The connection.
            delivered: How many of the bytes written to it have reached the server; None if nobody knows.
            cause: One sentence for the caller and the report.
        """
        for stream in origin.streams:
            stolen: StolenStream = stream.owner
            unprocessed = not stream.id or (delivered is not None and stream.offset >= delivered)
            if stolen.stream is stream:
                origin.cancel(stream)
                self._mend(stolen, cause, unprocessed=unprocessed, worth_trying=False)

    def expire(self) -> None:
        """Give up on streams whose time is over."""
        now, self.next_deadline = self._clock(), None
        for stolen in list(self._streams.values()):
            if stolen.deadline is None:
                continue
            if stolen.deadline <= now:
                stolen.origin.cancel(stolen.stream)
                cause = f"the local process gave no answer within {stolen.session.timeout:g} s"
                self._mend(stolen, cause, unprocessed=False, worth_trying=False, status=GATEWAY_TIMEOUT)
            else:
                self._await(stolen.deadline)

    def _await(self, deadline: float) -> None:
        self.next_deadline = deadline if self.next_deadline is None else min(deadline, self.next_deadline)

    def _mend(
        self, stolen: StolenStream, cause: str, *, unprocessed: bool, worth_trying: bool, status: int = BAD_GATEWAY
    ) -> None:
        """Do what ``fallback.remedy`` advises."""
        if stolen.stream.answer_ended:
            return self._stop_upload(stolen)
        again = worth_trying and stolen.tries == 1
        facts = Mishap(stolen.stream.answered, stolen.kept is not None, unprocessed, stolen.safe, stolen.at_pod, again)
        advice = remedy(facts)
        stolen.deadline = None
        if advice is Remedy.AGAIN and (origin := self._origins.developer(stolen.session)):
            stolen.send_kept(origin)
        elif advice in {Remedy.AGAIN, Remedy.POD}:
            self._report(stolen, Outcome.FELL_BACK, cause)
            stolen.at_pod = True
            stolen.send_kept(self._origins.pod())
        elif advice is Remedy.ANSWER:
            self._report(stolen, Outcome.FAILED, cause)
            block = self._mark.apply(error_block(status, cause, grpc=stolen.grpc))
            self._out.append(header_frames(HEADERS, END_STREAM, stolen.id, block))
            if not stolen.request_ended:
                self._out.append(reset(stolen.id, NO_ERROR))
            self._bury(stolen)
        else:
            self._fail(stolen, INTERNAL_ERROR, cause)
        return None

    def _stop_upload(self, stolen: StolenStream) -> None:
        """The answer is whole, and the rest of the request is not wanted (RFC 9113, section 8.1)."""
        stolen.request_ended = True
        self._answer(stolen, reset(stolen.id, NO_ERROR), 0, ends=True)

    # ---- to the client

    def _answer(self, stolen: StolenStream, frame: bytes, cost: int, *, ends: bool) -> None:
        if stolen.waiting or (
            cost and (cost > stolen.download_room or cost > self._window.room or self._window.holding)
        ):
            stolen.waiting.append(WaitingFrame(frame, cost, ends))
            self._starved[stolen.id] = stolen
            return self._flush(stolen)
        return self._emit(stolen, frame, cost, ends=ends)

    def _emit(self, stolen: StolenStream, frame: bytes, cost: int, *, ends: bool) -> None:
        self._out.append(frame)
        if cost:
            stolen.download_room -= cost
            self._window.spend(cost)
            stolen.origin.read(stolen.stream, cost)
        if ends:
            stolen.answer_ended = True
            self._finish(stolen)

    def flush(self) -> None:
        """Send what waits for the client's windows, after they have grown."""
        for stolen in list(self._starved.values()):
            self._flush(stolen)

    def _flush(self, stolen: StolenStream) -> None:
        while stolen.waiting:
            frame, cost, ends = stolen.waiting[0]
            room = 0 if self._window.holding else min(stolen.download_room, self._window.room)
            if cost > room:
                parts = split_data(frame, room) if room > 0 else None
                if parts is None:
                    return
                frame, rest = parts
                cost = len(frame) - HEAD_SIZE
                stolen.waiting[0] = WaitingFrame(rest, len(rest) - HEAD_SIZE, ends)
                ends = False
            else:
                stolen.waiting.popleft()
            self._emit(stolen, frame, cost, ends=ends)
        self._starved.pop(stolen.id, None)

    # ---- ends

    def _fail(self, stolen: StolenStream, code: int, cause: str) -> None:
        self._report(stolen, Outcome.FAILED, cause)
        self._out.append(reset(stolen.id, code))
        self._abandon(stolen, CANCEL)

    def _abandon(self, stolen: StolenStream, code: int) -> None:
        self._bury(stolen)
        stolen.origin.cancel(stolen.stream, code)

    def _finish(self, stolen: StolenStream) -> None:
        if stolen.answer_ended and stolen.request_ended and not stolen.waiting:
            self._bury(stolen)

    def _bury(self, stolen: StolenStream) -> None:
        for waiting in stolen.waiting:
            stolen.origin.read(stolen.stream, waiting.cost)
        stolen.waiting.clear()
        self._starved.pop(stolen.id, None)
        self._streams.pop(stolen.id, None)
        self._gone[stolen.id] = None
        if len(self._gone) > TOMBSTONES:
            self._gone.popitem(last=False)

    def _report(self, stolen: StolenStream, outcome: Outcome, detail: str = "") -> None:
        if not stolen.reported:
            stolen.reported = True
            stolen.session.report(Report(self._port, stolen.method, stolen.target, outcome, detail))
