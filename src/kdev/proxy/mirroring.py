"""Copies for the developer's process: they take what room there is, and never hold the original up.

A copy waits in the write buffer of a stream of the tunnel. What finds no room there is dropped as a whole message,
or, when its beginning is already on its way, cut; either is reported. A process that has stopped at a breakpoint thus
costs a bounded amount of memory, and gets the newest requests after it goes on only when there is room again.
"""

import asyncio
from collections import deque
from typing import Protocol

from kdev.proxy.flow import reset
from kdev.proxy.interface import Outcome, Upstream
from kdev.proxy.matched import Matched
from kdev.tunnel.half_close import half_close
from kdev.tunnel.records import CUT, encode_records
from kdev.tunnel.streams import StreamForm

MAX_BUFFERED = 1024 * 1024
"""Bytes of copies of one client connection that wait for the tunnel. A mesh holds some tens of connections, and an
agent is allowed some tens of megabytes."""

MAX_WAITING = 64
"""Requests of one client connection that wait for the tunnel: replaying thousands of old ones after a breakpoint
would be no help to anybody."""


class Copy(Protocol):
    """Where the client's bytes are copied to, once they are no longer read along."""

    def write(self, data: bytes) -> None:
        """Copy bytes."""

    def end(self) -> None:
        """The client has sent all."""

    def close(self, *, complete: bool) -> None:
        """The client's connection is gone: after all was said, or by a fault."""


class _CopyStream(Upstream):
    """A stream that only takes: what comes back is dropped by whoever sends it, or here."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self.refused = False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        self.refused = isinstance(exc, ConnectionRefusedError)

    @property
    def waiting(self) -> int:
        """Bytes that the tunnel has not taken yet."""
        return 0 if self.transport is None else self.transport.get_write_buffer_size()

    @property
    def cause(self) -> str:
        """Why it was lost."""
        return "the process refused" if self.refused else "the stream ended"


def _open(matched: Matched, form: StreamForm) -> _CopyStream | None:
    stream = _CopyStream()
    stream.transport = matched.session.open(matched.port, stream, form=form)
    return None if stream.transport is None else stream


class RequestCopies:
    """The copies of one client connection's requests, as records on one stream.

    Attributes:
        inside: A request is being copied whose end has not come.
    """

    __slots__ = ("_draining", "_ends", "_matched", "_session", "_stream", "_written", "inside")

    def __init__(self) -> None:
        self.inside = False
        self._draining = False
        self._stream: _CopyStream | None = None
        self._session: object = None
        self._matched: Matched | None = None
        self._written = 0
        self._ends: deque[int] = deque()

    def begin(self, matched: Matched, data: bytes, *, end: bool) -> None:
        """Copy a request from its head on, or drop it."""
        stream = self._ready_stream(matched)
        if stream is None:
            matched.report(Outcome.DROPPED, "no process to copy to")
        elif full := self._full(stream, len(data)):
            matched.report(Outcome.DROPPED, full)
        else:
            self._matched = matched
            self._put(stream, data, end=end)

    def more(self, data: bytes, *, end: bool) -> None:
        """Copy more of the request that is being copied; it may have to be cut."""
        stream = self._stream
        if stream is None or not self.inside:
            return
        if stream.lost:
            self._give_up(stream.cause)
        elif full := self._full(stream, len(data)):
            self._send(stream, CUT)
            self._give_up(full)
        else:
            self._put(stream, data, end=end)

    def write(self, data: bytes) -> None:
        """Copy more of a request that became a conversation (an upgrade): it ends with the connection."""
        self.more(data, end=False)

    def end(self) -> None:
        """The client has sent all; what was copied of a conversation counts as a whole."""
        self.more(b"", end=True)

    def drain(self) -> None:
        """Keep no stream but for a request whose end has not come."""
        self._draining = True
        if not self.inside:
            self.close(complete=True)

    def close(self, *, complete: bool) -> None:
        """No more copies; what waits is still sent, and a request that was not completed is cut."""
        stream = self._stream
        if stream is not None and not stream.lost:
            if complete:
                self.end()
            elif self.inside:
                self._send(stream, CUT)
                self._give_up("the request broke off")
            assert stream.transport is not None
            stream.transport.close()
        self._stream = None

    def _ready_stream(self, matched: Matched) -> _CopyStream | None:
        if self._stream is None or self._stream.lost or self._session is not matched.session:
            self.close(complete=False)
            self._session = matched.session
            self._stream = _open(matched, StreamForm.RECORDS)
            self._written = 0
            self._ends.clear()
        return self._stream

    def _full(self, stream: _CopyStream, size: int) -> str:
        """Why ``size`` bytes more find no room; empty when they do."""
        waiting = stream.waiting
        sent = self._written - waiting
        while self._ends and self._ends[0] <= sent:
            self._ends.popleft()
        if len(self._ends) >= MAX_WAITING:
            return f"{MAX_WAITING} copies are waiting already"
        # A single part may be larger than the bound; it passes when nothing else waits.
        return f"{waiting} bytes of copies are waiting already" if waiting and waiting + size > MAX_BUFFERED else ""

    def _put(self, stream: _CopyStream, data: bytes, *, end: bool) -> None:
        self._send(stream, encode_records(data, last=end))
        self.inside = not end
        if end:
            self._ends.append(self._written)
            if self._matched is not None:
                self._matched.report(Outcome.MIRRORED)
            if self._draining:
                self.close(complete=True)

    def _send(self, stream: _CopyStream, data: bytes) -> None:
        assert stream.transport is not None, "a stream is kept only when it was opened"
        self._written += len(data)
        stream.transport.write(data)

    def _give_up(self, detail: str) -> None:
        self.inside = False
        if self._matched is not None:
            self._matched.report(Outcome.DROPPED, detail)
        if self._draining:
            self.close(complete=True)


class ConnectionCopy:
    """The copy of a whole connection that is not HTTP: the client's bytes, as they are.

    It begins with the first of them: a connection on which the client says nothing is a health probe's, or a port
    scan's, and would only puzzle the process.
    """

    __slots__ = ("_begun", "_matched", "_stream")

    def __init__(self, matched: Matched) -> None:
        self._matched = matched
        self._stream: _CopyStream | None = None
        self._begun = False

    def write(self, data: bytes) -> None:
        """Copy bytes; once some find no room, the copy is over: what follows would make no sense without them."""
        if not self._begun:
            self._begin()
        stream = self._stream
        if stream is None or stream.transport is None:
            return
        waiting = stream.waiting
        if stream.lost:
            self._stop(stream.cause)
        elif waiting and waiting + len(data) > MAX_BUFFERED:
            reset(stream.transport)
            self._stop(f"{waiting} bytes of copies are waiting already")
        else:
            stream.transport.write(data)

    def end(self) -> None:
        """The client has sent all; the process may still be talking."""
        if self._stream is not None and self._stream.transport is not None and not self._stream.lost:
            half_close(self._stream.transport)
        if self._begun:
            self._matched.report(Outcome.MIRRORED)

    def close(self, *, complete: bool) -> None:
        """The client's connection is gone: so is the copy's."""
        if self._stream is not None and self._stream.transport is not None and not self._stream.lost:
            if complete:
                self._stream.transport.close()
            else:
                reset(self._stream.transport)
        if self._begun:
            self._matched.report(Outcome.MIRRORED)
        self._stream = None

    def _begin(self) -> None:
        self._begun = True
        self._stream = _open(self._matched, StreamForm.RAW)
        if self._stream is None:
            self._matched.report(Outcome.DROPPED, "no process to copy to")

    def _stop(self, detail: str) -> None:
        self._stream = None
        self._matched.report(Outcome.DROPPED, detail)
