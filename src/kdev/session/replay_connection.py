"""One connection on which mirrored requests are played: written as they are, answers read only to find their end."""

import asyncio
from typing import Protocol, cast

from kdev.proxy.flow import reset
from kdev.proxy.http1.head import ResponseHead
from kdev.proxy.http1.message import Piece
from kdev.proxy.http1.response import ResponseReader

PARTING = 5.0
"""Seconds that the process has to end a conversation after the client's last word. A client would wait for it: what a
WebSocket server says in return to a closing frame must not meet a closed connection."""


class ReplayListener(Protocol):
    """Who plays the requests."""

    def connected(self, connection: "ReplayConnection") -> None:
        """The process has accepted."""

    def changed(self) -> None:
        """The connection can take more, or has become idle."""

    def lost(self, connection: "ReplayConnection") -> None:
        """The connection is gone."""

    def answer(self, method: str, target: str, status: int | None) -> None:
        """The answer to a request has ended, or will never come (None)."""


class ReplayConnection(asyncio.Protocol):
    """Sends one request at a time.

    Attributes:
        writable: Whether the process takes more bytes for now.
        used: Whether any request was sent.
    """

    def __init__(self, listener: ReplayListener) -> None:
        self.writable = True
        self.used = False
        self._listener = listener
        self._transport: asyncio.Transport
        self._responses = ResponseReader()
        self._request: tuple[str, str] | None = None  # method and target of what is not answered to its end
        self._status: int | None = None
        self._sending = False
        self._closes = False
        self._parting: asyncio.TimerHandle | None = None

    @property
    def idle(self) -> bool:
        """Whether the next request may be sent."""
        conversing = self._sending or self._responses.switched
        return self._request is None and not conversing and not self._transport.is_closing()

    def begin(self, head: bytes) -> None:
        """Begin a request, of whose head at least the first line is here."""
        method, _, rest = head.partition(b" ")
        target = rest.partition(b" ")[0]
        self._request = method.decode("ascii", "replace"), target.decode("utf-8", "replace")
        self._status = None
        self._sending = True
        self.used = True
        self._responses.expect(method)

    def write(self, data: bytes, *, last: bool) -> None:
        """Send more of the request."""
        self._transport.write(data)
        if last:
            self._sending = False
            self._close_if_done()

    def close(self) -> None:
        """Send what was written, then end the connection."""
        self._transport.close()

    def abort(self) -> None:
        """Reset the connection: the process must not take what it got for a whole request."""
        reset(self._transport)

    # ---- what the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)
        self._listener.connected(self)

    def data_received(self, data: bytes) -> None:
        """Read the answer along; what the process says in a conversation after an upgrade is dropped unread."""
        if self._responses.switched:
            return
        if (piece := self._responses.whole(data)) is not None:
            self._passed(piece)
        else:
            self._responses.feed(data)
            while piece := self._responses.next():
                self._passed(piece)
        if self._responses.switched:
            # What is still being sent is the client's side of the conversation; no request can follow it.
            self._closes = True
            self._close_if_done()
        elif self._responses.raw:
            # Not readable: nothing can be sent behind it.
            self._end_of_answer()
            self._transport.close()
        elif self._request is None:
            self._close_if_done()
            self._listener.changed()

    def eof_received(self) -> None:
        """The process ends the connection, which may be how its answer ends; the transport closes by itself."""

    def pause_writing(self) -> None:
        """The process reads more slowly than we write."""
        self.writable = False

    def resume_writing(self) -> None:
        """It has caught up."""
        self.writable = True
        self._listener.changed()

    def connection_lost(self, exc: Exception | None) -> None:
        """No answer will come but the one that has."""
        if self._parting is not None:
            self._parting.cancel()
        if exc is not None or not self._responses.until_close:
            self._status = None
        self._end_of_answer()
        self._listener.lost(self)

    # ---- inside

    def _passed(self, piece: Piece[ResponseHead]) -> None:
        if piece.head is not None and not piece.head.interim:
            self._status = piece.head.status
            self._closes = piece.head.closes
        if piece.end:
            self._end_of_answer()

    def _end_of_answer(self) -> None:
        if self._request is not None:
            method, target = self._request
            self._request = None
            self._listener.answer(method, target, self._status)

    def _close_if_done(self) -> None:
        """Close from here what the process is about to close, so that nothing is sent into its end."""
        if not self._closes or self._sending or self._request is not None:
            return
        if self._responses.switched:
            self._parting = asyncio.get_running_loop().call_later(PARTING, self._transport.close)
        else:
            self._transport.close()
