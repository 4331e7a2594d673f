"""Stolen requests: one at a time goes to the developer's process, and its answer comes back as it is.

Until the answer begins the request is kept, so that the pod can still get it when the process does not answer.
"""

import asyncio
from http import HTTPStatus
from typing import Protocol

from kdev.proxy.connection import Connection
from kdev.proxy.falling_back import KEPT, Kept, Loss, Remedy, error_response, remedy
from kdev.proxy.http1.head import RequestHead, ResponseHead
from kdev.proxy.http1.message import Piece
from kdev.proxy.http1.response import ResponseReader
from kdev.proxy.interface import Outcome, Shadowing
from kdev.proxy.matched import Matched
from kdev.proxy.upstream import UpstreamConnection


class Victim(Protocol):
    """The route from which requests are stolen."""

    def stolen_head(self, piece: Piece[ResponseHead], head: ResponseHead) -> bytes:
        """The answer to the stolen request has come so far; returns what the client gets of it."""
        ...

    def stolen_switched(self, upstream: UpstreamConnection, rest: bytes) -> None:
        """What follows, beginning with ``rest``, can only be forwarded unread."""

    def stolen_finished(self, *, closes: bool) -> None:
        """The request and its answer have ended; ``closes`` when the answer was the connection's last."""

    def give_back(self, data: bytes, head: RequestHead, *, end: bool) -> None:
        """The pod gets the request: what came of it so far, and whether that is all."""


class Theft:
    """The stolen requests of one client connection, over one stream as long as their answers end cleanly.

    Attributes:
        in_flight: A request is being stolen; no other may begin.
    """

    def __init__(self, victim: Victim, connection: Connection) -> None:
        self.in_flight = False
        self._victim = victim
        self._connection = connection
        self._stream: UpstreamConnection | None = None
        self._session: Shadowing | None = None
        self._answers = ResponseReader()
        self._timer: asyncio.TimerHandle | None = None
        self._draining = False

    def begin(self, matched: Matched, piece: Piece[RequestHead], head: RequestHead) -> bool:
        """Steal a request, or answer False when there is no process that could take it."""
        stream = self._ready_stream(matched.session)
        if stream is None:
            matched.report(Outcome.FELL_BACK, "no process to send it to")
            return False
        self.in_flight = True
        self._matched = matched
        self._head = head
        self._kept = Kept()
        self._begun = stream.written
        self._request_ended = self._answer_begun = self._answer_ended = False
        self._closes = False
        self._answers.expect(head.method)
        if matched.session.timeout is not None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(matched.session.timeout, self._time_out, matched.session.timeout)
        self.more(piece)
        return True

    def more(self, piece: Piece[RequestHead]) -> None:
        """Send more of the request."""
        self._request_ended = piece.end
        if not self._answer_begun:
            self._keep(piece.data)
        if self._stream is not None:
            self._stream.write(piece.data)
        if self._answer_ended:
            self._finish_when_both_ended()

    def end(self) -> None:
        """The client will send no more."""
        if self._stream is not None:
            self._stream.end()

    def release(self) -> UpstreamConnection | None:
        """Give the request up, of which the rest can only be forwarded unread, to whoever has its beginning.

        Returns:
            The stream; or None when the process has not taken it yet, and so the pod gets the request, or when
            it has ended.
        """
        stream = self._stream
        if not self._answer_begun and (stream is None or not stream.connected):
            self._fail("the request could not be followed to its end", HTTPStatus.BAD_GATEWAY, delivered=self._begun)
            return None
        self._begin_answer()
        self.in_flight = False
        self._stream = None
        return stream

    def drain(self) -> None:
        """Keep no stream but for a request in flight."""
        self._draining = True
        if not self.in_flight:
            self._drop_stream(orderly=True)

    def abandon(self, exc: Exception | None) -> None:
        """The client is gone."""
        self._stop_timer()
        if self.in_flight:
            self._matched.report(Outcome.FAILED, "the client went away")
        self._drop_stream(orderly=exc is None and not self.in_flight)

    # ---- the stream's events

    def received(self, upstream: UpstreamConnection, data: bytes) -> None:
        """Forward what belongs to the answer."""
        answers = self._answers
        if (piece := answers.whole(data)) is not None:
            self._forward(piece)
        else:
            answers.feed(data)
            while (piece := answers.next()) is not None:
                self._forward(piece)
        if self.in_flight and not self._answer_ended and (answers.raw or answers.switched):
            self._switch(upstream)
        elif answers.raw:
            # More than was asked for: nothing on this stream can be trusted to be an answer any more.
            self._drop_stream(orderly=False)
        if self._answer_ended:
            self._finish_when_both_ended()

    def _forward(self, piece: Piece[ResponseHead]) -> None:
        if not self._answer_begun:
            self._begin_answer()
        data = piece.data
        if piece.head is not None:
            self._closes = piece.head.closes
            data = self._victim.stolen_head(piece, piece.head)
        self._connection.client.write(data)
        self._answer_ended = piece.end and not self._answers.switched

    def accepted(self, _upstream: UpstreamConnection) -> None:
        """The process has taken the connection: more of the body than is kept may follow."""
        self._connection.gate.open(self)

    def ended(self, _upstream: UpstreamConnection) -> bool:
        """The process has said all: that ends an answer without a length, and loses any other that has not ended."""
        return False

    def lost(self, upstream: UpstreamConnection, exc: Exception | None) -> None:
        """The stream is gone; so may be an answer."""
        until_close = self._answers.until_close
        self._drop_stream(orderly=True)
        if not self.in_flight or self._answer_ended:
            return
        if until_close and exc is None:
            self._answer_ended = self._closes = True
            self._finish_when_both_ended()
        elif self._answer_begun:
            # A part of an answer must not pass for the whole of it.
            self.in_flight = False
            self._connection.reset()
        else:
            cause = "the process refused the connection" if not upstream.connected else "the process did not answer"
            delivered = upstream.delivered if upstream.connected else self._begun
            self._fail(cause, HTTPStatus.BAD_GATEWAY, delivered=delivered)

    # ---- steps

    def _ready_stream(self, session: Shadowing) -> UpstreamConnection | None:
        if self._stream is not None and self._session is not session:
            self._drop_stream(orderly=True)
        if self._stream is None:
            self._session = session
            self._answers = ResponseReader()
            self._stream = self._connection.open_stream(session, self)
        return self._stream

    def _keep(self, data: bytes) -> None:
        kept, stream = self._kept, self._stream
        if kept.size + len(data) > KEPT and stream is not None:
            if stream.connected:
                kept.forget()
            else:
                # Refused is still possible, and must lose nothing: take no more until that is known.
                self._connection.gate.shut(self)
        kept.add(data)

    def _begin_answer(self) -> None:
        self._answer_begun = True
        self._stop_timer()
        self._kept.forget()
        self._connection.gate.open(self)
        self._matched.report(Outcome.STOLEN)

    def _switch(self, upstream: UpstreamConnection) -> None:
        rest = self._answers.rest()
        self._begin_answer()
        self.in_flight = False
        self._stream = None
        self._victim.stolen_switched(upstream, rest)

    def _time_out(self, seconds: float) -> None:
        self._timer = None
        self._drop_stream(orderly=False)
        self._fail(f"the process did not answer within {seconds:g} s", HTTPStatus.GATEWAY_TIMEOUT, delivered=None)

    def _fail(self, cause: str, status: HTTPStatus, *, delivered: int | None) -> None:
        """There will be no answer: the pod gets the request, or the client an error."""
        self._stop_timer()
        self.in_flight = False
        self._connection.gate.open(self)
        self._drop_stream(orderly=False)
        loss = Loss(self._head.method, self._begun, delivered, kept=self._kept.complete)
        if remedy(loss) is Remedy.POD:
            self._matched.report(Outcome.FELL_BACK, cause)
            self._victim.give_back(self._kept.take(), self._head, end=self._request_ended)
            return
        self._matched.report(Outcome.FAILED, cause)
        closes = not self._request_ended
        self._connection.client.write(error_response(status, cause, method=self._head.method, closes=closes))
        self._victim.stolen_finished(closes=closes)

    def _finish_when_both_ended(self) -> None:
        if self.in_flight and (self._request_ended or self._closes):
            self.in_flight = False
            if self._closes or self._draining or not self._answers.idle:
                self._drop_stream(orderly=True)
            self._victim.stolen_finished(closes=self._closes)

    def _drop_stream(self, *, orderly: bool) -> None:
        if self._stream is not None:
            self._connection.leave(self._stream, orderly=orderly)
            self._stream = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
