"""A service of the example bookstore: answers HTTP, may call the next service, and speaks gRPC on a second port.

Its environment says what it is: NAME; PORT (8080); NEXT, the URL's host of a service it asks for /api/…; GRPC_PORT.
Answers are JSON and show what arrived, above all who the mesh says the caller is.
"""

import asyncio
import contextlib
import functools
import json
import os
import signal
from dataclasses import dataclass

from kdev.sandbox.programs.grpc_echo import serve_grpc
from kdev.sandbox.programs.http1 import HEAD_LIMIT, Request, Response, serve_connection

_JSON = (("content-type", "application/json"),)
_PASSED_ON = ("x-request-id", "traceparent", "x-dev")
"""Headers that tie one user's requests together across services."""

_ANSWER_LIMIT = 1 << 20
"""Bytes of the next service's answer."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What this service is."""

    name: str
    port: int
    next_host: str
    grpc_port: int

    @classmethod
    def from_environment(cls) -> "Settings":
        """Read the container's environment."""
        return cls(
            name=os.environ.get("NAME", "bookstore"),
            port=int(os.environ.get("PORT", "8080")),
            next_host=os.environ.get("NEXT", ""),
            grpc_port=int(os.environ.get("GRPC_PORT", "0")),
        )


async def main() -> None:
    """Serve until told to end."""
    settings = Settings.from_environment()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    handler = functools.partial(answer, settings)
    serve = functools.partial(serve_connection, handler=handler)
    async with contextlib.AsyncExitStack() as servers:
        everywhere = "0.0.0.0"  # noqa: S104 - inside a pod's network namespace
        await servers.enter_async_context(
            await asyncio.start_server(serve, everywhere, settings.port, limit=HEAD_LIMIT)
        )
        if settings.grpc_port:
            await servers.enter_async_context(await asyncio.start_server(serve_grpc, everywhere, settings.grpc_port))
        print(f"{settings.name} listens on {settings.port}", flush=True)  # noqa: T201 - the container's log
        await ended.wait()


async def answer(settings: Settings, request: Request) -> Response:
    """Health, or what was asked for."""
    path = request.target.split("?", 1)[0]
    if path in {"/healthz", "/readyz"}:
        return Response(200, b"ok\n")
    if not path.startswith("/api/"):
        return Response(404, json.dumps({"service": settings.name, "error": "no such page"}).encode() + b"\n", _JSON)
    print(f"{request.method} {request.target}", flush=True)  # noqa: T201 - the container's log
    said = {
        "service": settings.name,
        "pod": os.environ.get("HOSTNAME", ""),
        "method": request.method,
        "path": request.target,
        "headers": {name.lower(): value for name, value in request.headers},
        "body_size": request.body_size,
    }
    if settings.next_host:
        said["next"] = await _ask_next(settings.next_host, request)
    return Response(200, json.dumps(said).encode() + b"\n", _JSON)


async def _ask_next(host: str, request: Request) -> object:
    """The next service's answer to the same path, or what went wrong."""
    name, _, port = host.partition(":")
    try:
        reader, writer = await asyncio.open_connection(name, int(port or 80))
    except OSError as error:
        return {"error": str(error)}
    try:
        passed = [f"{key}: {request.header(key)}" for key in _PASSED_ON if request.header(key)]
        lines = [f"GET {request.target} HTTP/1.1", f"Host: {host}", "Connection: close", *passed, "", ""]
        writer.write("\r\n".join(lines).encode("latin-1"))
        head, _, body = (await _read_all(reader)).partition(b"\r\n\r\n")
        return json.loads(body) if head.split(b" ")[1:2] == [b"200"] else {"error": head[:80].decode("latin-1")}
    except (OSError, ValueError) as error:
        return {"error": str(error)}
    finally:
        writer.close()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    data = b""
    while piece := await reader.read(1 << 16):
        data += piece
        if len(data) > _ANSWER_LIMIT:
            raise ValueError("the answer is too long")
    return data


if __name__ == "__main__":
    asyncio.run(main())
