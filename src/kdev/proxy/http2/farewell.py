"""A GOAWAY put between two frames of a server whose bytes are otherwise forwarded verbatim.

That is how a connection is handed back: the client opens no more streams on it, those in flight are served to their
end, and it is the client that closes. With Envoy and nginx behind it no request was lost in 30,000.
"""

from typing import Final

from kdev.proxy.http2.frames import (
    CONTINUATION,
    END_HEADERS,
    HEAD_SIZE,
    HEADERS,
    LARGEST,
    NO_ERROR,
    PUSH_PROMISE,
    SETTINGS,
    goaway,
    unpack_head,
)

FAREWELL: Final = goaway(LARGEST, NO_ERROR)
"""Names no last stream: all that the client has begun will be served (RFC 9113, section 6.8)."""


class FrameBoundaries:
    """Follows frames only as far as to know where another one may be put between them."""

    def __init__(self) -> None:
        self._skip = 0
        self._head = b""
        self._in_block = False
        self._begun = False
        self._lost = False

    @property
    def between(self) -> bool:
        """Whether a frame may follow here: not within one, nor in a header block, nor before the first SETTINGS."""
        return self._begun and not (self._skip or self._head or self._in_block or self._lost)

    def follow(self, data: bytes) -> None:
        """Follow bytes of the server."""
        if self._skip >= len(data):
            self._skip -= len(data)
            return
        if self._head:
            data = self._head + data
        offset, end = self._skip, len(data)
        while end - offset >= HEAD_SIZE:
            high, low, kind, flags, _ = unpack_head(data, offset)
            if kind in {HEADERS, PUSH_PROMISE, CONTINUATION}:
                self._in_block = not flags & END_HEADERS
            if not self._begun:
                # A server that does not begin with SETTINGS does not speak HTTP/2 (RFC 9113, section 3.4).
                self._begun, self._lost = True, kind != SETTINGS
            offset += HEAD_SIZE + (high << 8 | low)
        self._skip = max(offset - end, 0)
        self._head = data[offset:]

    def follow_to_boundary(self, data: bytes) -> int | None:
        """Follow bytes up to the first place where ``between`` holds.

        Returns:
            How many bytes stand before that place; None if there is none, and all of them were followed.
        """
        offset = 0
        while offset < len(data) and not self.between:
            step = data[offset : offset + (self._skip or HEAD_SIZE - len(self._head))]
            self.follow(step)
            offset += len(step)
        return offset if self.between else None


class Farewell:
    """What the pod says, verbatim, with the GOAWAY once it is due."""

    def __init__(self) -> None:
        self._boundaries = FrameBoundaries()
        self._due = False
        self._said = False

    def receive(self, data: bytes) -> bytes:
        """Take bytes of the pod; returns what the client gets."""
        if self._due:
            place = self._boundaries.follow_to_boundary(data)
            if place is not None:
                self._due, self._said = False, True
                self._boundaries.follow(data[place:])
                return data[:place] + FAREWELL + data[place:]
        else:
            self._boundaries.follow(data)
        return data

    def say(self) -> bytes:
        """Say it as soon as possible; returns what the client gets now."""
        if self._said or self._due:
            return b""
        self._due = not self._boundaries.between
        self._said = not self._due
        return b"" if self._due else FAREWELL
