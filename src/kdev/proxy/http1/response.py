"""Reading responses along: the direction from a server."""

from collections import deque

import msgspec

from kdev.proxy.http1.head import MAX_HEAD, Body, ResponseHead, parse_response, response_begun
from kdev.proxy.http1.message import END_OF_HEAD, END_SIZE, MessageReader, Piece


class ResponseReader(MessageReader[ResponseHead]):
    """The responses of one connection, each of which depends on the request it answers (RFC 9112, section 6.3).

    An interim response is a piece of its own, in which the answer does not end. Bytes that answer no request make
    the connection ``raw``.

    Attributes:
        switched: HTTP has ended here; everything that follows is taken by ``rest``.
    """

    __slots__ = ("_methods", "switched")

    def __init__(self) -> None:
        super().__init__()
        self.switched = False
        self._methods: deque[bytes] = deque()

    def expect(self, method: bytes) -> None:
        """Tell that a request of this method has been sent."""
        self._methods.append(method)

    @property
    def unanswered(self) -> int:
        """How many requests have no final response yet, not even the head of one."""
        return len(self._methods)

    @property
    def idle(self) -> bool:
        """Whether every response that was asked for has ended, and it is known where."""
        return not (self._methods or self._in_body or self.raw or self.switched or self._buffer)

    @property
    def until_close(self) -> bool:
        """Whether the response being read ends with the connection."""
        return self._in_body and self._left == Body.UNTIL_CLOSE

    def whole(self, data: bytes) -> Piece[ResponseHead] | None:
        """See ``MessageReader``."""
        if self._buffer or self._in_body or not self._methods or self.raw or self.switched:
            return None
        head_end = data.find(END_OF_HEAD) + END_SIZE
        head = parse_response(data[:head_end], self._methods[0])
        if head is None or head.body != len(data) - head_end or head.status < 200 or head_end > MAX_HEAD:
            return None
        self._methods.popleft()
        self.switched = head.switches
        return Piece(data, True, head, head_end)  # by position: this is the fast path

    def next(self) -> Piece[ResponseHead] | None:
        """The next piece, or None when more bytes are needed, or ``raw`` or ``switched`` is set."""
        if self.raw or self.switched:
            return None
        if self._in_body:
            return self._body_piece()
        if self._buffer and not self._methods:
            self.raw = True
            return None
        end = self._head_end()
        if not end:
            return None
        head = None
        if end - self._offset <= MAX_HEAD:
            head = parse_response(self._buffer[self._offset : end], self._methods[0])
        if head is None:
            self.raw = True
            return None
        return self._response_piece(head, end)

    def _response_piece(self, head: ResponseHead, end: int) -> Piece[ResponseHead]:
        if head.interim:
            return msgspec.structs.replace(self._first_piece(head, 0, end), end=False)
        self._methods.popleft()
        self.switched = head.switches
        return self._first_piece(head, head.body, end)

    def _begun(self, part: bytes) -> bool:
        return response_begun(part)
