"""A small HTTP/1.1 server for the sandbox's own programs: bounded, keep-alive, bodies by length or chunked."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus

HEAD_LIMIT = 64 << 10
"""Bytes of a request's head: what proxies add is a few kilobytes."""

BODY_LIMIT = 256 << 20
"""Bytes of a body; read in pieces and only counted, so it costs no memory."""

_PIECE = 64 << 10


@dataclass(frozen=True, slots=True)
class Request:
    """One request, its body read and kept only as far as ``body`` reaches."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    body_size: int

    def header(self, name: str) -> str:
        """The first header of that name, or nothing."""
        return next((value for key, value in self.headers if key.lower() == name), "")


@dataclass(frozen=True, slots=True)
class Response:
    """One answer."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = field(default=())


Handler = Callable[[Request], Awaitable[Response]]


class BadRequest(ValueError):  # noqa: N818 - what it is
    """The request cannot be read."""


async def serve_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
    """Answer the requests of one connection in their order."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
        while True:
            try:
                request = await read_request(reader)
            except (BadRequest, asyncio.LimitOverrunError) as error:
                writer.write(encode(Response(400, str(error).encode()), close=True))
                break
            if request is None:
                break
            close = request.header("connection").lower() == "close"
            writer.write(encode(await handler(request), close=close))
            await writer.drain()
            if close:
                break
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request; None when the peer is done.

    Raises:
        BadRequest: It is not HTTP/1, or longer than the limits.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise BadRequest("the head does not end") from error
        return None
    request_line, *lines = head[:-4].decode("latin-1").split("\r\n")
    words = request_line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise BadRequest("malformed request line")
    headers = tuple(_header(line) for line in lines)
    body, size = await _read_body(reader, {name.lower(): value for name, value in headers})
    return Request(words[0], words[1], headers, body, size)


def encode(response: Response, *, close: bool) -> bytes:
    """An answer's bytes."""
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in response.headers]
    lines += [f"content-length: {len(response.body)}", *(["connection: close"] if close else []), "", ""]
    return "\r\n".join(lines).encode("latin-1") + response.body


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise BadRequest("malformed header")
    return name, value.strip()


async def _read_body(reader: asyncio.StreamReader, headers: dict[str, str]) -> tuple[bytes, int]:
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return await _read_chunks(reader)
    length = headers.get("content-length", "0")
    if not length.isdecimal() or int(length) > BODY_LIMIT:
        raise BadRequest("malformed or too long content-length")
    return await _read_piecewise(reader, int(length)), int(length)


async def _read_chunks(reader: asyncio.StreamReader) -> tuple[bytes, int]:
    kept, total = b"", 0
    while True:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return kept, total
        total += size
        if total > BODY_LIMIT:
            raise BadRequest("the body is too long")
        piece = await _read_piecewise(reader, size)
        kept = kept if len(kept) >= _PIECE else kept + piece
        await reader.readexactly(2)


async def _read_piecewise(reader: asyncio.StreamReader, size: int) -> bytes:
    """Read so many bytes and keep the first of them."""
    kept = await reader.readexactly(min(size, _PIECE))
    left = size - len(kept)
    while left:
        left -= len(await reader.readexactly(min(left, _PIECE)))
    return kept
