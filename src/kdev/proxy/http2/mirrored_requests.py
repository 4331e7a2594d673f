"""Copies of matching requests for the developer's process, made from what is read along.

The copies go out over an HTTP/2 connection of kdev's own and their answers are dropped. Nothing here can hold the
primary: what finds no room is cut off and counted.
"""

from typing import Final, Protocol

from kdev.proxy.http2.frames import END_STREAM
from kdev.proxy.http2.header_blocks import FieldList
from kdev.proxy.http2.header_fields import Fields, encode_stateless, joined
from kdev.proxy.http2.origin import OriginConnection, OriginStream
from kdev.proxy.http2.stolen_stream import LOOKED_AT
from kdev.proxy.interface import Current, Outcome, Report, Shadowing
from kdev.tunnel.messages import Mode

COPIES_LIMIT: Final = 256
"""Copies of one connection's requests that may be with the process: a breakpoint stops it at all of them."""

UNSENT_LIMIT: Final = 1024 * 1024
"""Bytes of copies that the process has not taken: a second's worth at 8 Mbit/s."""

_SLOW = "the local process reads too slowly"


class MirrorOrigins(Protocol):
    """Opens the connection for copies; its loss comes by ``MirroredRequests.origin_lost``."""

    def developer(self, session: Shadowing) -> OriginConnection | None:
        """A connection to the developer's process that takes new streams; None if it cannot be reached now."""
        ...


class Copy:
    """One mirrored request."""

    __slots__ = ("method", "origin", "reported", "request_ended", "session", "stream", "stream_id", "target")

    origin: OriginConnection
    stream: OriginStream

    def __init__(self, stream_id: int, session: Shadowing, fields: Fields) -> None:
        self.stream_id = stream_id
        self.session = session
        self.method = fields.get(b":method", b"")
        self.target = fields.get(b":path", b"")
        self.request_ended = False
        self.reported = False


class MirroredRequests:
    """Implements ``Reader`` on one side and ``Answers`` on the other.

    Attributes:
        misplaced: A session wants requests of this connection stolen, which it cannot do any more: its header blocks
            lean on a dynamic table that the pod's server keeps. The client should open another connection.
    """

    def __init__(self, port: int, current: Current, origins: MirrorOrigins) -> None:
        self.misplaced = False
        self._port, self._current, self._origins = port, current, origins
        self._copies: dict[int, Copy] = {}
        self._unsent = 0

    # ---- what the client sends

    def request(self, stream_id: int, fields: FieldList, *, end: bool) -> None:
        """Implements ``Reader``."""
        session = self._current()
        if session is None:
            return
        if session.mode is not Mode.MIRROR:
            self.misplaced = True
            return
        wanted = joined(fields, session.matcher.wanted | LOOKED_AT)
        if wanted.get(b":method") == b"CONNECT" or not session.matcher.match_fields(wanted, self._port):
            return
        if session.sampled():
            self._copy(Copy(stream_id, session, wanted), fields, end=end)

    def _copy(self, copy: Copy, fields: FieldList, *, end: bool) -> None:
        if len(self._copies) >= COPIES_LIMIT:
            return self._report(copy, Outcome.DROPPED, f"the local process has not answered {COPIES_LIMIT} copies yet")
        if self._unsent > UNSENT_LIMIT:
            return self._report(copy, Outcome.DROPPED, _SLOW)
        origin = self._origins.developer(copy.session)
        if origin is None:
            return self._report(copy, Outcome.DROPPED, "the local process cannot be reached")
        copy.origin = origin
        copy.stream = origin.request(copy, encode_stateless(fields), end=end)
        self._copies[copy.stream_id] = copy
        return self._end(copy) if end else None

    def follows(self, stream_id: int) -> bool:
        """Implements ``Reader``."""
        return stream_id in self._copies

    def body(self, stream_id: int, payload: bytes, *, end: bool) -> None:
        """Implements ``Reader``."""
        copy = self._copies.get(stream_id)
        if copy is None or copy.request_ended:
            return
        self._unsent += len(payload)
        if end:
            self._end(copy)
        copy.origin.send(copy.stream, payload, len(payload), end=end)
        if self._unsent > UNSENT_LIMIT:
            self._drop(copy, _SLOW)

    def trailers(self, stream_id: int, fields: FieldList) -> None:
        """Implements ``Reader``."""
        copy = self._copies[stream_id]
        if not copy.request_ended:
            copy.origin.send_trailers(copy.stream, encode_stateless(fields))
            self._end(copy)

    def cancelled(self, stream_id: int, code: int) -> None:
        """Implements ``Reader``."""
        copy = self._copies.pop(stream_id)
        self._report(copy, Outcome.MIRRORED, "the caller cancelled it")
        copy.origin.cancel(copy.stream, code)

    def drop_unfinished(self, detail: str) -> None:
        """End the copies whose requests have not: the rest of them is not understood."""
        for copy in list(self._copies.values()):
            if not copy.request_ended:
                self._drop(copy, detail)

    def _end(self, copy: Copy) -> None:
        copy.request_ended = True
        self._report(copy, Outcome.MIRRORED)

    def _drop(self, copy: Copy, detail: str) -> None:
        if self._copies.pop(copy.stream_id, None) is not None:
            self._report(copy, Outcome.DROPPED, detail)
            copy.origin.cancel(copy.stream)

    # ---- what the process answers

    def passed_on(self, _stream: OriginStream, cost: int, /) -> None:
        """Implements ``Answers``."""
        self._unsent -= cost

    def answer_headers(self, stream: OriginStream, _block: bytes, flags: int, /) -> None:
        """Implements ``Answers``: dropped."""
        if flags & END_STREAM:
            self._answered(stream.owner)

    def answer_data(self, stream: OriginStream, _data_frame: bytes, cost: int, flags: int, /) -> None:
        """Implements ``Answers``: dropped."""
        copy: Copy = stream.owner
        copy.origin.read(stream, cost)
        if flags & END_STREAM:
            self._answered(copy)

    def answer_reset(self, stream: OriginStream, _code: int, /, *, unprocessed: bool) -> None:
        """Implements ``Answers``."""
        self._drop(stream.owner, "the local process " + ("refused the copy" if unprocessed else "reset the stream"))

    def origin_lost(self, origin: OriginConnection, cause: str) -> None:
        """The connection is gone, or never came to be."""
        for stream in origin.streams:
            self._drop(stream.owner, cause)

    def _answered(self, copy: Copy) -> None:
        """The answer has ended; the rest of a request that has not is of no use to the process."""
        if copy.request_ended:
            self._copies.pop(copy.stream_id, None)
        else:
            self._drop(copy, "the local process answered before the request had ended")

    def _report(self, copy: Copy, outcome: Outcome, detail: str = "") -> None:
        if not copy.reported:
            copy.reported = True
            copy.session.report(Report(self._port, copy.method, copy.target, outcome, detail))
