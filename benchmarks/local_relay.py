"""What a stolen or mirrored request costs on the laptop: CPU microseconds of the relay between tunnel and process.

Three processes: one plays the agent (streams with one request in flight each), one is the relay, one the developer's
process, which answers at once. Of the two ends printed, the accepting one is the relay.

Run: python -m benchmarks.local_relay [seconds]
"""

import asyncio
import multiprocessing
import socket
import sys
from multiprocessing.connection import Connection as Pipe
from typing import cast

import uvloop

from benchmarks.tunnel_relay import ANSWER, REQUEST, ask, connected, cpu
from kdev.session.relay import LocalRelay
from kdev.tunnel.stream_accepting import accept_streams
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.yamux.connection import Role

POD_PORT = 8080


class Answering(asyncio.Protocol):
    """The developer's process: answers every request at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer as many requests as have come."""
        self._transport.write(ANSWER * (len(data) // len(REQUEST)))


async def relay(end: socket.socket, pipe: Pipe, local_port: int) -> None:
    """The laptop's end: tells its CPU time whenever asked, until told to stop."""
    stopped = asyncio.Event()

    def asked() -> None:
        if pipe.recv():
            pipe.send(cpu())
        else:
            stopped.set()

    async with asyncio.TaskGroup() as tasks:
        local = LocalRelay({POD_PORT: local_port}, tasks, lambda _: None)
        await connected(Tunnel(Role.CLIENT, accept_streams(local.serve)), end)
        asyncio.get_running_loop().add_reader(pipe.fileno(), asked)
        await stopped.wait()


async def serve(listener: socket.socket) -> None:
    """The developer's process."""
    server = await asyncio.get_running_loop().create_server(Answering, sock=listener)
    await server.serve_forever()


def run_relay(end: socket.socket, pipe: Pipe, local_port: int) -> None:
    """Run in a process of its own."""
    uvloop.run(relay(end, pipe, local_port))


def run_server(listener: socket.socket) -> None:
    """Run in a process of its own."""
    uvloop.run(serve(listener))


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with socket.create_server(("127.0.0.1", 0)) as meeting:
        near = socket.create_connection(meeting.getsockname())
        far, _ = meeting.accept()
    for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.setblocking(False)
    listener = socket.create_server(("127.0.0.1", 0))
    here, there = multiprocessing.Pipe()
    port = listener.getsockname()[1]
    server = multiprocessing.Process(target=run_server, args=(listener,))
    laptop = multiprocessing.Process(target=run_relay, args=(far, there, port))
    server.start()
    laptop.start()
    far.close()
    try:
        uvloop.run(ask(near, here, seconds))
        laptop.join()
    finally:
        server.terminate()
        server.join()
        listener.close()


if __name__ == "__main__":
    main()
