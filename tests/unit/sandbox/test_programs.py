"""The programs inside the containers: their HTTP, their gRPC, and the probe that asks it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from kdev.sandbox.grpc_health import check_health
from kdev.sandbox.programs.bookstore import Settings, answer
from kdev.sandbox.programs.grpc_echo import serve_grpc
from kdev.sandbox.programs.http1 import BadRequest, Request, Response, encode, read_request, serve_connection
from kdev.sandbox.programs.sidecar import answer_probe


def _reader(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


def _request(target: str) -> Request:
    return Request("GET", target, (("User-Agent", "kube-probe/1.34"), ("X-Dev", "alice")), b"", 0)


@contextlib.asynccontextmanager
async def _serving(status: int) -> AsyncIterator[tuple[int, list[Request]]]:
    """An app on loopback that answers everything with a status, and what it was asked."""
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(status)

    server = await asyncio.start_server(lambda r, w: serve_connection(r, w, handler), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], seen


async def test_a_request_with_a_body_is_read_whole() -> None:
    """Bodies by length and by chunks leave the reader at the next request."""
    reader = _reader(
        b"POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"
        b"POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1\r\nf\r\n0\r\nT: 1\r\n\r\n"
    )
    first, second = await read_request(reader), await read_request(reader)
    assert first is not None
    assert second is not None
    assert (first.target, first.body, second.target, second.body) == ("/a", b"abc", "/b", b"def")
    assert await read_request(reader) is None


@pytest.mark.parametrize(
    "data",
    [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nbroken\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET"],
)
async def test_what_is_not_http_is_refused(data: bytes) -> None:
    """A malformed request is told apart from the end of a connection."""
    with pytest.raises(BadRequest):
        await read_request(_reader(data))


def test_answers_are_framed_by_length() -> None:
    """An answer says how long it is, and whether the connection ends."""
    assert encode(Response(404, b"no"), close=True) == (
        b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
    )


async def test_the_bookstore_shows_what_arrived() -> None:
    """/api/ answers with the headers seen, health paths are healthy, others do not exist."""
    settings = Settings("cart", 8080, "", 0)
    said = await answer(settings, _request("/api/x?y=1"))
    assert json.loads(said.body)["headers"]["x-dev"] == "alice"
    assert (await answer(settings, _request("/healthz"))).status == 200
    assert (await answer(settings, _request("/other"))).status == 404


@pytest.mark.parametrize(("status", "path"), [(200, "/readyz"), (503, "/readyz")])
async def test_the_sidecar_asks_the_app_as_the_kubelet_would(status: int, path: str) -> None:
    """A rewritten probe reaches the app with the kubelet's User-Agent, and its status comes back."""
    async with _serving(status) as (port, seen):
        probers = {"/app-health/app/readyz": {"httpGet": {"path": path, "port": port}}}
        answered = await answer_probe(probers, "127.0.0.1", _request("/app-health/app/readyz"))
    assert answered.status == status
    assert seen[0].target == path
    assert seen[0].header("user-agent") == "kube-probe/1.34"


async def test_the_sidecar_reports_an_app_that_does_not_listen() -> None:
    """A refused connection is an unhealthy app, and an unknown path is nobody's probe."""
    async with _serving(200) as (port, _):
        pass
    probers = {"/app-health/app/livez": {"tcpSocket": {"port": port}}}
    assert (await answer_probe(probers, "127.0.0.1", _request("/app-health/app/livez"))).status == 500
    assert (await answer_probe(probers, "127.0.0.1", _request("/app-health/x/livez"))).status == 404


async def test_a_grpc_health_probe_understands_the_echo_service() -> None:
    """The gRPC probe finds the bookstore's gRPC port serving."""
    served = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve_grpc(reader, writer)
        served.set()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await check_health(reader, writer, "cart") == ""
        writer.close()
        await writer.wait_closed()
        await served.wait()
