"""Follows a chunked body from chunk to chunk (RFC 9112, section 7.1), without taking it apart."""

import re

from kdev.proxy.http1.head import FIELD_LINES, FIELD_LINES_BEGUN, frames_a_message

MAX_TRAILERS = 16 * 1024
"""Bytes of trailers that are waited for; they are few and short wherever they are used (gRPC-Web, checksums)."""

# Fifteen hexadecimal digits fit every parser's 64 bits. Extensions are as good as unused; names and plain values pass.
_EXTENSIONS = rb"(?:;[0-9A-Za-z\-]{1,64}(?:=[0-9A-Za-z\-]{1,64})?){0,4}"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})" + _EXTENSIONS + rb"\r\n")
_SIZE_BEGUN = re.compile(rb"[0-9A-Fa-f]{1,15}(?:;[0-9A-Za-z\-=;]{0,520})?\r?")
_CRLF = b"\r\n"
_TRAILERS = re.compile(FIELD_LINES + rb"\r\n")
_TRAILERS_BEGUN = re.compile(FIELD_LINES_BEGUN)


class ChunkedBody:
    """Where a chunked body stands.

    Attributes:
        ended: The last byte of the body, trailers included, has been passed.
        doubtful: What came next could not be read; nothing after it can be.
    """

    __slots__ = ("_behind_data", "_in_trailers", "_left", "doubtful", "ended")

    def __init__(self) -> None:
        self.ended = False
        self.doubtful = False
        self._left = 0
        self._behind_data = False
        self._in_trailers = False

    def follow(self, buffer: bytes, offset: int) -> int:
        """Go on from ``offset``.

        Returns:
            The offset up to which the bytes belong to the body for certain; the rest must be given again, with more.
        """
        end = len(buffer)
        while offset < end and not self._in_trailers:
            if self._left:
                taken = min(self._left, end - offset)
                self._left -= taken
                offset += taken
                self._behind_data = not self._left
            elif self._behind_data:
                if not buffer.startswith(_CRLF, offset):
                    self.doubtful = buffer[offset:] != b"\r"
                    return offset
                self._behind_data = False
                offset += len(_CRLF)
            else:
                match = _SIZE.match(buffer, offset)
                if match is None:
                    self.doubtful = _SIZE_BEGUN.fullmatch(buffer, offset) is None
                    return offset
                self._left = int(match[1], 16)
                self._in_trailers = not self._left
                offset = match.end()
        return self._follow_trailers(buffer, offset) if self._in_trailers and offset < end else offset

    def _follow_trailers(self, buffer: bytes, offset: int) -> int:
        match = _TRAILERS.match(buffer, offset)
        if match is not None:
            self.doubtful = frames_a_message(b"\r\n" + match[0])
            self.ended = not self.doubtful
            return match.end() if self.ended else offset
        self.doubtful = len(buffer) - offset > MAX_TRAILERS or not _TRAILERS_BEGUN.fullmatch(buffer, offset)
        return offset
