"""What a speaker says in HTTP/1.1: answers, uploads, server-sent events, WebSocket."""

import json

from aiohttp import WSMsgType, web

from tests.integration.matrix.programs.ledger import Digest, Ledger, content

EVENTS = 100
_PIECE = 64 * 1024


class Http1:
    """Its handlers; every answer names the speaker and the caller's identity as the sidecar wrote it."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        self._name = name
        self._ledger = ledger

    def application(self) -> web.Application:
        """All of it, ready to be served."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/healthz", self._health),
                web.get("/bytes/{size}", self._bytes),
                web.get("/events", self._events),
                web.get("/socket", self._socket),
                web.route("*", "/{path:.*}", self._echo),
            ]
        )
        return application

    async def _health(self, request: web.Request) -> web.Response:
        await self._ledger.add("", "probe", path=request.path, agent=request.headers.get("user-agent", ""))
        return web.Response(text="ok")

    async def _echo(self, request: web.Request) -> web.Response:
        digest = Digest()
        async for piece in request.content.iter_chunked(_PIECE):
            digest.add(piece)
            await self._ledger.arrived(_cell(request), len(piece))
        facts = {**_facts(request), **digest.facts()}
        await self._ledger.add(_cell(request), "http", **facts)
        return web.json_response({"from": self._name, **facts}, headers={"x-from": self._name})

    async def _bytes(self, request: web.Request) -> web.Response:
        await self._ledger.add(_cell(request), "http", **_facts(request))
        return web.Response(body=content(int(request.match_info["size"])), headers={"x-from": self._name})

    async def _events(self, request: web.Request) -> web.StreamResponse:
        """The first event at once; the others after somebody has asked for /release."""
        await self._ledger.add(_cell(request), "events", **_facts(request))
        response = web.StreamResponse(headers={"content-type": "text/event-stream", "x-from": self._name})
        await response.prepare(request)
        for number in range(EVENTS):
            await response.write(f"id: {number}\ndata: {self._name}\n\n".encode())
            if number == 0:
                await self._ledger.find(f"{_cell(request)}-release", "http", 1)
        await self._ledger.add(_cell(request), "events-sent")
        return response

    async def _socket(self, request: web.Request) -> web.WebSocketResponse:
        """Says who it is, then echoes."""
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        await socket.send_str(json.dumps({"from": self._name, **_facts(request)}))
        digest = Digest()
        async for message in socket:
            if message.type is WSMsgType.TEXT:
                digest.add(message.data.encode())
                await socket.send_str(message.data)
            elif message.type is WSMsgType.BINARY:
                digest.add(message.data)
                await socket.send_bytes(message.data)
        facts = {**_facts(request), **digest.facts(), "count": digest.count, "code": socket.close_code}
        await self._ledger.add(_cell(request), "websocket", **facts)
        return socket


def _cell(request: web.Request) -> str:
    return request.headers.get("x-cell", "")


def _facts(request: web.Request) -> dict[str, str]:
    return {
        "method": request.method,
        "path": request.path_qs,
        "xfcc": request.headers.get("x-forwarded-client-cert", ""),
        "chunked": request.headers.get("transfer-encoding", ""),
    }
