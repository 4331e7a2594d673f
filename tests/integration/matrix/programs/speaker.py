"""A service that speaks every protocol of the matrix; it stands in the pod and, under another name, on the laptop.

Run as ``python -m tests.integration.matrix.programs.speaker NAME ADDRESS PORT...``, with a port for each of ``PORTS``;
0 finds a free one. The ports are printed as a line of JSON. The last serves the ledger: ``/records?cell=&kind=&count=``
answers when so many have arrived, ``/arrived?cell=&size=`` when so much of a body has.
"""

import asyncio
import functools
import json
import sys
from collections.abc import Sequence

import grpc
from aiohttp import web

from tests.integration.matrix.programs.grpc_service import Grpc
from tests.integration.matrix.programs.http1 import Http1
from tests.integration.matrix.programs.http2 import Http2
from tests.integration.matrix.programs.ledger import Ledger
from tests.integration.matrix.programs.raw import Raw

PORTS = ("http", "h2c", "grpc", "raw", "greeting", "ledger")


async def main(name: str, address: str, ports: Sequence[int]) -> None:
    """Serve until killed."""
    ledger = Ledger()
    raw = Raw(name, ledger)
    loop = asyncio.get_running_loop()
    calls = grpc.aio.server()
    Grpc(name, ledger).add_to(calls)
    async with asyncio.TaskGroup() as tasks:
        http, h2c, grpc_port, client_first, server_first, records = ports
        listening = [
            await _serve(Http1(name, ledger).application(), address, http),
            _port(await loop.create_server(functools.partial(Http2, name, ledger, tasks), address, h2c)),
            calls.add_insecure_port(f"{address}:{grpc_port}"),
            _port(await asyncio.start_server(raw.client_first, address, client_first)),
            _port(await asyncio.start_server(raw.server_first, address, server_first)),
            await _serve(_ledger_application(ledger), address, records),
        ]
        await calls.start()
        print(json.dumps(dict(zip(PORTS, listening, strict=True))), flush=True)
        await asyncio.Event().wait()


def _ledger_application(ledger: Ledger) -> web.Application:
    async def records(request: web.Request) -> web.Response:
        asked = request.query
        if "cell" not in asked:
            return web.json_response(ledger.all())
        return web.json_response(await ledger.find(asked["cell"], asked["kind"], int(asked["count"])))

    async def arrived(request: web.Request) -> web.Response:
        await ledger.until_arrived(request.query["cell"], int(request.query["size"]))
        return web.Response()

    application = web.Application()
    application.add_routes([web.get("/records", records), web.get("/arrived", arrived)])
    return application


async def _serve(application: web.Application, address: str, port: int) -> int:
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, address, port)
    await site.start()
    chosen: int = runner.addresses[0][1]
    return chosen


def _port(server: asyncio.Server) -> int:
    chosen: int = server.sockets[0].getsockname()[1]
    return chosen


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], [int(port) for port in sys.argv[3:]]))
