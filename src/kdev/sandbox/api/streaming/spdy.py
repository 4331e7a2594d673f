"""SPDY/3.1 without I/O, as much of it as Kubernetes' streaming protocols use: bytes in, events out.

After "SPDY Protocol - Draft 3.1". Kubernetes' own implementation (moby/spdystream) neither honours nor sends
WINDOW_UPDATE frames, so neither does this: what holds a fast sender back is the TCP connection underneath.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_MAX_FRAME: Final = 1 << 24
"""A frame's length has 24 bits; the buffer can never grow beyond one frame and one read."""
_MAX_HEADERS: Final = 1 << 16
"""Bytes of one decompressed header block; Kubernetes' are below 200, the bound is against zlib bombs."""

_NAMES: Final = (
    b"options|head|post|put|delete|trace|accept|accept-charset|accept-encoding|accept-language|accept-ranges|age|"
    b"allow|authorization|cache-control|connection|content-base|content-encoding|content-language|content-length|"
    b"content-location|content-md5|content-range|content-type|date|etag|expect|expires|from|host|if-match|"
    b"if-modified-since|if-none-match|if-range|if-unmodified-since|last-modified|location|max-forwards|pragma|"
    b"proxy-authenticate|proxy-authorization|range|referer|retry-after|server|te|trailer|transfer-encoding|upgrade|"
    b"user-agent|vary|via|warning|www-authenticate|method|get|status|200 OK|version|HTTP/1.1|url|public|set-cookie|"
    b"keep-alive|origin"
)
_TAIL: Final = (
    b"100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
    b"Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 "
    b"Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
    b"00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
    b"application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
    b"charset=iso-8859-1,utf-,*,enq=0."
)
DICTIONARY: Final = b"".join(struct.pack(">I", len(name)) + name for name in _NAMES.split(b"|")) + _TAIL
"""The dictionary that header blocks are compressed with (section 2.6.10.1)."""


class ControlType(IntEnum):
    """Control frames (section 2.6)."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class SpdyError(Exception):
    """The peer broke the protocol; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class StreamOpened:
    """The peer opened a stream; ``fin`` when it will send nothing on it."""

    stream: int
    headers: dict[str, str]
    fin: bool


@dataclass(frozen=True, slots=True)
class DataReceived:
    """Bytes on a stream; ``fin`` when they are the last."""

    stream: int
    data: bytes
    fin: bool


@dataclass(frozen=True, slots=True)
class StreamReset:
    """The peer gave a stream up."""

    stream: int


@dataclass(frozen=True, slots=True)
class PingReceived:
    """The peer wants the number back."""

    number: int


@dataclass(frozen=True, slots=True)
class GoneAway:
    """The peer opens no more streams."""


Event = StreamOpened | DataReceived | StreamReset | PingReceived | GoneAway


class Connection:
    """One end of a connection; the server's, or a test's client."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take bytes in any chunks; the events must be consumed before the next call.

        Raises:
            SpdyError: The peer broke the protocol.
        """
        self._buffer += data
        while len(self._buffer) >= 8:
            word, flags_length = struct.unpack_from(">II", self._buffer)
            end = 8 + (flags_length & 0xFFFFFF)
            if len(self._buffer) < end:
                return
            body, flags = bytes(self._buffer[8:end]), flags_length >> 24
            del self._buffer[:end]
            if word & 0x80000000:
                yield from self._control(word, flags, body)
            else:
                yield DataReceived(word, body, bool(flags & 1))

    def open(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        """A SYN_STREAM frame."""
        body = struct.pack(">IIBB", stream, 0, 0, 0) + self._compress(headers)
        return _control_frame(ControlType.SYN_STREAM, body, int(fin))

    def reply(self, stream: int) -> bytes:
        """A SYN_REPLY frame, which accepts a stream."""
        return _control_frame(ControlType.SYN_REPLY, struct.pack(">I", stream) + self._compress({}))

    def _control(self, word: int, flags: int, body: bytes) -> Iterator[Event]:
        if (word >> 16) & 0x7FFF != 3:
            raise SpdyError(f"version {(word >> 16) & 0x7FFF} instead of 3")
        try:
            match word & 0xFFFF:
                case ControlType.SYN_STREAM:
                    (stream,) = struct.unpack_from(">I", body)
                    yield StreamOpened(stream, self._decompress(body[10:]), bool(flags & 1))
                case ControlType.SYN_REPLY | ControlType.HEADERS:
                    self._decompress(body[4:])  # keeps the shared compression context in step
                case ControlType.RST_STREAM:
                    yield StreamReset(struct.unpack_from(">I", body)[0])
                case ControlType.PING:
                    yield PingReceived(struct.unpack(">I", body)[0])
                case ControlType.GOAWAY:
                    yield GoneAway()
        except (struct.error, zlib.error, UnicodeDecodeError) as error:
            raise SpdyError(f"a malformed frame of type {word & 0xFFFF}: {error}") from error

    def _compress(self, headers: Mapping[str, str]) -> bytes:
        block = struct.pack(">I", len(headers))
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += struct.pack(">I", len(text)) + text
        return self._deflate.compress(block) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def _decompress(self, block: bytes) -> dict[str, str]:
        plain = self._inflate.decompress(block, _MAX_HEADERS)
        if self._inflate.unconsumed_tail:
            raise SpdyError("a header block is too long")
        (count,) = struct.unpack_from(">I", plain)
        if count > len(plain) // 8:
            raise SpdyError("a header block counts more headers than it can hold")
        offset, texts = 4, []
        for _ in range(2 * count):
            (length,) = struct.unpack_from(">I", plain, offset)
            texts.append(plain[offset + 4 : offset + 4 + length].decode())
            offset += 4 + length
        return dict(zip(texts[::2], texts[1::2], strict=True))


def data_frame(stream: int, data: bytes, *, fin: bool = False) -> bytes:
    """A data frame; without data and with ``fin`` it ends the stream."""
    if len(data) >= _MAX_FRAME:
        raise ValueError("a frame's length has 24 bits")
    return struct.pack(">II", stream, int(fin) << 24 | len(data)) + data


def reset_frame(stream: int, status: int) -> bytes:
    """A RST_STREAM frame."""
    return _control_frame(ControlType.RST_STREAM, struct.pack(">II", stream, status))


def ping_frame(number: int) -> bytes:
    """A PING frame, or the answer to one."""
    return _control_frame(ControlType.PING, struct.pack(">I", number))


def _control_frame(kind: ControlType, body: bytes, flags: int = 0) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body
