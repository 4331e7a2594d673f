"""Reading requests along: the direction from the client."""

from kdev.proxy.http1.head import MAX_HEAD, RequestHead, parse_request, request_begun
from kdev.proxy.http1.message import END_OF_HEAD, END_SIZE, MessageReader, Piece


class RequestReader(MessageReader[RequestHead]):
    """The requests of one connection, pipelined ones included.

    Attributes:
        switching: A request that may end HTTP has been taken whole. What follows it can be read only when its answer
            is known: see ``settle``.
    """

    __slots__ = ("_closed", "_switches", "switching")

    def __init__(self) -> None:
        super().__init__()
        self.switching = False
        self._switches = False
        self._closed = False

    def next(self) -> Piece[RequestHead] | None:
        """The next piece, or None when more bytes are needed, or ``raw`` or ``switching`` is set."""
        if self.raw or self.switching:
            return None
        piece = self._body_piece() if self._in_body else self._next_request()
        if piece is not None and piece.end:
            self.switching = self._switches
        return piece

    def whole(self, data: bytes) -> Piece[RequestHead] | None:
        """See ``MessageReader``."""
        if self._buffer or self._in_body or self._closed or self.raw or self.switching:
            return None
        head_end = data.find(END_OF_HEAD) + END_SIZE
        head = parse_request(data[:head_end])
        if head is None or head.body != len(data) - head_end or head.switches or head.closes or head_end > MAX_HEAD:
            return None
        return Piece(data, True, head, head_end)  # by position: this is the fast path

    @property
    def idle(self) -> bool:
        """Whether every request that has begun was taken to its end."""
        return not (self._buffer or self._in_body or self.raw or self.switching)

    def settle(self, *, switched: bool) -> None:
        """Tell the answer to the request that may end HTTP: either everything after it is raw, or requests go on."""
        self.switching = self._switches = False
        self.raw = self.raw or switched

    @property
    def head_begun(self) -> bool:
        """Whether some of a head is here and the rest is waited for."""
        return not (self.raw or self.switching or self._in_body) and self.buffered > 0

    def _next_request(self) -> Piece[RequestHead] | None:
        end = self._head_end()
        if not end:
            return None
        head = None
        if not self._closed and end - self._offset <= MAX_HEAD:
            head = parse_request(self._buffer[self._offset : end])
        if head is None:
            self.raw = True
            return None
        self._closed = head.closes
        self._switches = head.switches
        return self._first_piece(head, head.body, end)

    def _begun(self, part: bytes) -> bool:
        return not self._closed and request_begun(part)
