"""HTTP/1 on one connection: each request goes where it belongs, and the answers come back in order.

Unmatched requests are forwarded as they came, pipelined or not. When a request belongs elsewhere than those before
it, it waits until they are answered: only one upstream at a time owes answers, so none can overtake another.
"""

import asyncio
from collections.abc import Callable

from kdev.proxy.connection import Connection
from kdev.proxy.draining import closing_head
from kdev.proxy.http1.head import RequestHead, ResponseHead
from kdev.proxy.http1.message import Piece
from kdev.proxy.http1.request import RequestReader
from kdev.proxy.http1.response import ResponseReader
from kdev.proxy.interface import Outcome
from kdev.proxy.lingering import LingeringRoute
from kdev.proxy.matched import Matched, match_request
from kdev.proxy.mirroring import RequestCopies
from kdev.proxy.raw import RawRoute
from kdev.proxy.stealing import Theft
from kdev.proxy.upstream import PodConnection, UpstreamConnection
from kdev.tunnel.messages import Mode

HEAD_PATIENCE = 1.0
"""Seconds for the rest of a head to come. A sidecar sends heads whole; a protocol whose first bytes only look like
a head would wait for an answer to them, which it gets when they are forwarded unread."""


class Http1Route:
    """Requests from one client."""

    def __init__(self, connection: Connection, pod: PodConnection | None) -> None:
        self._connection = connection
        self._current = connection.context.current
        self._port = connection.port
        self._pod = pod
        self._requests = RequestReader()
        self._answers = ResponseReader()  # the pod's
        self._theft = Theft(self, connection)
        self._copies: RequestCopies | None = None
        self._forward: Callable[[Piece[RequestHead]], None] = self._to_pod
        self._waiting: tuple[Piece[RequestHead], RequestHead, Matched | None] | None = None
        self._pod_forgotten = pod is None  # the last request was stolen: the client does not know of the pod's end
        self._client_ended = False
        self._raw_waits = False
        self._patience: asyncio.TimerHandle | None = None
        self._draining = False
        self._asked = False  # the client has been asked to close: it is this end's turn once nothing is owed
        self._by_pieces = False  # answers are forwarded as they are read, so that a head can be changed
        connection.route = self
        if pod is not None:
            pod.listener = self
        if connection.context.connections.draining:
            self.drain()

    # ---- from the client

    def from_client(self, data: bytes) -> None:
        """Take what has come, as far as its turn has come."""
        if self._waiting is None and (piece := self._requests.whole(data)) is not None and piece.head is not None:
            self._begin_request(piece, piece.head)
        else:
            self._requests.feed(data)
            self._advance()

    def client_ended(self) -> None:
        """The client will send no more; what waits for its turn still goes."""
        self._client_ended = True
        self._advance()

    def client_lost(self, exc: Exception | None) -> None:
        """Nobody is left to be answered."""
        self._stop_patience()
        self._theft.abandon(exc)
        if self._waiting is not None and (matched := self._waiting[2]) is not None:
            matched.report(Outcome.FAILED, "the client went away")
        if self._copies is not None:
            self._copies.close(complete=exc is None and not self._requests.in_body)

    def _advance(self) -> None:
        requests = self._requests
        while self._waiting is None and (piece := requests.next()) is not None:
            if piece.head is None:
                self._forward(piece)
            else:
                self._begin_request(piece, piece.head)
        if self._waiting is None:
            if requests.raw or (requests.switching and self._answers.raw):
                self._follow_no_more()
            elif requests.head_begun:
                self._await_head()
        if self._connection.route is self:
            if self._client_ended:
                self._end_upstream()
            elif self._asked and self.idle:
                self._linger()

    def _begin_request(self, piece: Piece[RequestHead], head: RequestHead) -> None:
        if self._patience is not None:
            self._stop_patience()
        session = self._current()
        matched = None if session is None else match_request(session, piece, head, self._port)
        if matched is None and not self._theft.in_flight:
            self._pass(piece, head)
        elif self._turn_has_come(matched):
            self._start(piece, head, matched)
        else:
            self._waiting = piece, head, matched
            self._connection.gate.shut(self)

    def _turn_has_come(self, matched: Matched | None) -> bool:
        if self._theft.in_flight:
            return False
        return matched is None or matched.session.mode is Mode.MIRROR or self._answers.idle or self._answers.raw

    def _start(self, piece: Piece[RequestHead], head: RequestHead, matched: Matched | None) -> None:
        if matched is None:
            self._pass(piece, head)
        elif matched.session.mode is Mode.MIRROR:
            self._pass(piece, head)
            self._mirror(matched, piece, head)
        elif self._answers.raw:
            matched.report(Outcome.FELL_BACK, "the end of the pod's last answer is unknown")
            self._pass(piece, head)
        elif self._theft.begin(matched, piece, head):
            self._pod_forgotten = True
            self._forward = self._theft.more
        else:
            self._pass(piece, head)

    def _pass(self, piece: Piece[RequestHead], head: RequestHead) -> None:
        if self._pod is None:
            self._answers = ResponseReader()
            self._pod = self._connection.connect_pod(self)
        self._pod_forgotten = False
        self._answers.expect(head.method)
        self._pod.write(piece.data)
        self._forward = self._to_pod

    def _to_pod(self, piece: Piece[RequestHead]) -> None:
        assert self._pod is not None, "it is given up only when it owes nothing"
        self._pod.write(piece.data)
        if self._copies is not None and self._copies.inside:
            self._copies.more(piece.data, end=piece.end and not self._requests.switching)

    def _mirror(self, matched: Matched, piece: Piece[RequestHead], head: RequestHead) -> None:
        if self._copies is None:
            self._copies = RequestCopies()
        # A request that may become a conversation ends when the answer says that it does not.
        self._copies.begin(matched, piece.data, end=piece.end and not head.switches)
        if self._draining:
            self._copies.drain()

    def _turn(self) -> None:
        """Something has ended: see whether what waits may go now."""
        if self._waiting is not None:
            piece, head, matched = self._waiting
            if not self._turn_has_come(matched):
                return
            self._waiting = None
            self._connection.gate.open(self)
            self._start(piece, head, matched)
        elif self._raw_waits:
            self._connection.gate.open(self)
        elif self._requests.idle and not (self._asked or self._client_ended):
            return  # as nearly always: the next request has yet to come
        self._advance()

    def _end_upstream(self) -> None:
        """Forward the client's end to whoever has its last request."""
        if self._waiting is not None or self._raw_waits or (self._requests.switching and self._requests.buffered):
            return
        if rest := self._requests.rest():
            self._forward(Piece(rest, end=False))
        if self._theft.in_flight:
            self._theft.end()
        elif self._pod is None or self._pod_forgotten:
            self._connection.close()
        else:
            self._pod.end()

    # ---- no longer read along

    def _await_head(self) -> None:
        if self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(HEAD_PATIENCE, self._lose_patience)

    def _lose_patience(self) -> None:
        self._patience = None
        if self._requests.head_begun and self._waiting is None:
            self._requests.raw = True
            self._advance()

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _follow_no_more(self) -> None:
        """What the client sends cannot be read: it goes to whoever has the message it is in, or to the pod."""
        if not self._theft.in_flight:
            self._go_raw(self._pod or self._connection.connect_pod(self))
        elif not self._requests.in_body:
            self._raw_waits = True
            self._connection.gate.shut(self)
        elif (stream := self._theft.release()) is not None:
            self._go_raw(stream)
        elif self._connection.route is self:
            # Its answer has ended and its stream is gone: nobody can take the rest for what it is.
            self._connection.reset()

    def _go_raw(self, upstream: UpstreamConnection) -> None:
        self._stop_patience()
        self._flush_answers()
        connection = self._connection
        unsent = self._take_waiting(Outcome.FELL_BACK, "the connection could not be followed") + self._requests.rest()
        copy = None
        if self._copies is not None:
            # A conversation is copied to its end; a request whose end cannot be told must not pass for a whole one.
            if self._copies.inside and not self._requests.in_body:
                copy = self._copies
            else:
                self._copies.close(complete=False)
        route = RawRoute(connection, upstream, copy)
        for other in connection.upstreams - {upstream}:
            connection.leave(other, orderly=True)
        connection.gate.open(self)
        if unsent:
            route.from_client(unsent)
        if self._client_ended:
            route.client_ended()

    def _take_waiting(self, outcome: Outcome, why: str) -> bytes:
        """Give up the request that waits for its turn."""
        if self._waiting is None:
            return b""
        piece, _, matched = self._waiting
        self._waiting = None
        if matched is not None:
            matched.report(outcome, why)
        return piece.data

    # ---- from the pod

    def received(self, _upstream: UpstreamConnection, data: bytes) -> None:
        """Forward, and read along to know what is answered."""
        if self._pod_forgotten:
            # Nothing was asked; the client is talking to the process, and must not get this in between.
            self._forget_pod()
            return
        answers = self._answers
        if answers.raw:
            self._connection.client.write(data)
        elif not (self._draining or self._requests.switching) and answers.whole(data) is not None:
            self._connection.client.write(data)
            if self._waiting is not None:
                self._turn()
        else:
            self._read_answers(data)

    def _read_answers(self, data: bytes) -> None:
        answers = self._answers
        client = self._connection.client
        if self._draining and not self._by_pieces:
            self._by_pieces = not answers.buffered
        if not self._by_pieces:
            client.write(data)
        answers.feed(data)
        settled = False
        while (piece := answers.next()) is not None:
            if piece.head is not None:
                settled = self._settle(piece.head) or settled
            if self._by_pieces:
                client.write(self._ask_to_close(piece))
        if answers.raw or answers.switched:
            self._read_no_more()
        if settled or self._asked or self._waiting is not None:
            self._turn()

    def _settle(self, head: ResponseHead) -> bool:
        """Whether an answer's head tells that after the last request, which offered to leave HTTP, HTTP goes on."""
        if not self._switch_offered or head.interim or head.switches or self._answers.unanswered:
            return False
        self._requests.settle(switched=False)
        if self._copies is not None:
            self._copies.more(b"", end=True)
        return True

    def _ask_to_close(self, piece: Piece[ResponseHead]) -> bytes:
        """An answer after which nothing is owed is where the client can be asked to close the connection."""
        head = piece.head
        if head is None or head.interim or head.switches or head.closes or self._answers.unanswered:
            return piece.data
        self._asked = True
        return closing_head(piece.data[: piece.head_size]) + piece.data[piece.head_size :]

    def _read_no_more(self) -> None:
        self._flush_answers()
        if self._switch_offered and self._pod is not None:
            self._go_raw(self._pod)

    @property
    def _switch_offered(self) -> bool:
        """Whether the last request that was sent on offers to leave HTTP; none is sent before it is answered."""
        return self._requests.switching and self._waiting is None

    def accepted(self, _upstream: UpstreamConnection) -> None:
        """What waited has been sent."""

    def ended(self, upstream: UpstreamConnection) -> bool:
        """The pod has ended the connection: so it is for the client, unless that one talks to the process."""
        if self._pod_forgotten:
            self._forget_pod()
            return False
        self._go_raw(upstream)
        return self._connection.route.ended(upstream)

    def lost(self, _upstream: UpstreamConnection, exc: Exception | None) -> None:
        """The pod's connection is gone."""
        if self._pod_forgotten:
            self._forget_pod()
        elif exc is None:
            self._connection.close()
        else:
            self._connection.reset()

    def _forget_pod(self) -> None:
        """Connect again when a request needs it."""
        if self._pod is not None:
            self._connection.leave(self._pod, orderly=True)
            self._pod = None

    def _flush_answers(self) -> None:
        """Forward what was not read to its end; where answers are not forwarded by pieces, it has been already."""
        rest = self._answers.rest()
        if self._by_pieces and rest:
            self._connection.client.write(rest)

    # ---- from the theft

    def stolen_head(self, piece: Piece[ResponseHead], head: ResponseHead) -> bytes:
        """The process has answered; it may have declined to leave HTTP."""
        if self._switch_offered and not head.interim and not head.switches:
            self._requests.settle(switched=False)
        return self._ask_to_close(piece) if self._draining else piece.data

    def stolen_switched(self, upstream: UpstreamConnection, rest: bytes) -> None:
        """The process has the connection for itself from now on."""
        if rest:
            self._connection.client.write(rest)
        self._go_raw(upstream)

    def stolen_finished(self, *, closes: bool) -> None:
        """The next request may go."""
        if self._switch_offered:
            self._requests.settle(switched=False)
        if closes:
            self._take_waiting(Outcome.FAILED, "the process closed the connection")
            self._linger()
        else:
            self._turn()

    def give_back(self, data: bytes, head: RequestHead, *, end: bool) -> None:
        """The process did not get the request: the pod does."""
        self._pass(Piece(data, end, head), head)
        self._turn()

    # ---- handed back

    @property
    def idle(self) -> bool:
        """Whether nothing is owed to anybody."""
        nothing_asked = self._waiting is None and self._requests.idle
        return nothing_asked and not self._theft.in_flight and self._answers.idle

    def drain(self) -> None:
        """The next answer that leaves nothing owed asks the client to close; what is in flight is served to its end."""
        self._draining = True
        self._current = _nobody
        self._theft.drain()
        if self._copies is not None:
            self._copies.drain()

    def _linger(self) -> None:
        """The last answer has been written."""
        self._stop_patience()
        if self._copies is not None:
            self._copies.close(complete=True)
        LingeringRoute(self._connection)


def _nobody() -> None:
    """The session of a connection that is handed back: no request of it is matched any more."""
