"""Cutting one direction of a connection into messages: what requests and responses have in common.

Bytes are given with ``feed`` and taken with ``next``, in pieces that follow each other without a gap: joined, they
are what was given. A caller that must wait (a request whose turn has not come) just does not take the next piece.
"""

from abc import ABC, abstractmethod
from typing import Generic, TypeVar

import msgspec

from kdev.proxy.http1.chunked import ChunkedBody
from kdev.proxy.http1.head import MAX_HEAD, Body

HeadT = TypeVar("HeadT")

END_OF_HEAD = b"\r\n\r\n"
END_SIZE = len(END_OF_HEAD)
MAX_HEAD_PARTS = 1024
"""In how many parts a head may come; each costs another look at what is there of it. They come in one or two."""


class Piece(msgspec.Struct, Generic[HeadT], frozen=True, gc=False):
    """A part of one message; a struct of msgspec because there is one for each request and one for each response.

    Attributes:
        data: The bytes, as they came. As much of the body as was there follows the head.
        end: The message ends with them.
        head: In a message's first piece, what its head says.
        head_size: How many bytes of ``data`` are the head.
    """

    data: bytes
    end: bool
    head: HeadT | None = None
    head_size: int = 0


class MessageReader(ABC, Generic[HeadT]):
    """The bytes not yet taken, and the body that is being read.

    Attributes:
        raw: What follows cannot be read: nothing more is taken piece by piece, only by ``rest``.
    """

    __slots__ = ("_buffer", "_chunks", "_in_body", "_left", "_offset", "_parts", "raw")

    def __init__(self) -> None:
        self.raw = False
        self._buffer = b""
        self._offset = 0
        self._parts = 0
        self._in_body = False
        self._left = 0
        self._chunks: ChunkedBody | None = None

    def feed(self, data: bytes) -> None:
        """Take what the connection has brought."""
        buffered = len(self._buffer) - self._offset
        self._buffer = self._buffer[self._offset :] + data if buffered else data
        self._offset = 0

    @abstractmethod
    def whole(self, data: bytes) -> Piece[HeadT] | None:
        """Take ``data`` at once, when it is one plain message from its first byte to its last: most messages are.

        Returns:
            None when it is not, and ``feed`` has to be given it.
        """

    def rest(self) -> bytes:
        """Take everything that was fed and is in no piece yet, without reading it."""
        rest = self._buffer[self._offset :]
        self._drop_buffer()
        return rest

    @property
    def buffered(self) -> int:
        """How many bytes are in no piece yet."""
        return len(self._buffer) - self._offset

    @property
    def in_body(self) -> bool:
        """Whether a message has begun whose end is still to come."""
        return self._in_body

    def _head_end(self) -> int:
        """The offset behind the next head, or 0 when that head is not complete; sets ``raw`` when it will never be."""
        end = self._buffer.find(END_OF_HEAD, self._offset)
        if end >= 0:
            self._parts = 0
            return end + END_SIZE
        if self._buffer:
            self._parts += 1
            too_much = self.buffered > MAX_HEAD or self._parts > MAX_HEAD_PARTS
            self.raw = too_much or not self._begun(self._buffer[self._offset :])
        return 0

    @abstractmethod
    def _begun(self, part: bytes) -> bool:
        """Whether an incomplete head may begin with these bytes."""

    def _first_piece(self, head: HeadT, body: int, head_end: int) -> Piece[HeadT]:
        """Begin a message whose head ends at ``head_end``, and take what is there of its body."""
        start = self._offset
        if body:
            self._begin_body(body)
            body_end = self._follow_body(head_end)
        else:
            body_end = head_end
        return Piece(self._take(body_end), not self._in_body, head, head_end - start)

    def _body_piece(self) -> Piece[HeadT] | None:
        end = self._follow_body(self._offset)
        if end == self._offset:
            return None
        return Piece(self._take(end), not self._in_body)

    def _begin_body(self, body: int) -> None:
        self._in_body = True
        if body == Body.CHUNKED:
            self._chunks = ChunkedBody()
        else:
            self._left = body

    def _follow_body(self, offset: int) -> int:
        """Where the part of the body ends that is there; the body may end with it, or become unreadable."""
        if self._chunks is not None:
            end = self._chunks.follow(self._buffer, offset)
            self.raw = self._chunks.doubtful
            if self._chunks.ended:
                self._chunks = None
                self._in_body = False
            return end
        if self._left == Body.UNTIL_CLOSE:
            return len(self._buffer)
        taken = min(self._left, len(self._buffer) - offset)
        self._left -= taken
        self._in_body = self._left > 0
        return offset + taken

    def _take(self, end: int) -> bytes:
        data = self._buffer[self._offset : end]  # no copy where that is all of it
        self._offset = end
        if end == len(self._buffer):
            self._drop_buffer()
        return data

    def _drop_buffer(self) -> None:
        self._buffer = b""
        self._offset = 0
