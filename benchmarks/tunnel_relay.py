"""What a relayed request costs in the tunnel: CPU microseconds per request in each of its two ends.

One process opens 16 streams and plays the agent's splice (writes a request's head, waits for the answer, writes the
next); the other accepts them and plays the laptop (answers each). Nothing else is in the way, so the figures are the
tunnel's own, kernel work on its carrier included.

Run: python -m benchmarks.tunnel_relay [seconds]
"""

import asyncio
import multiprocessing
import resource
import socket
import sys
from multiprocessing.connection import Connection as Pipe
from typing import cast

import uvloop

from kdev.tunnel.stream_accepting import IncomingStream, accept_streams
from kdev.tunnel.stream_opening import open_stream
from kdev.tunnel.streams import StreamForm
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.yamux.connection import Role

REQUEST = b"GET /api/orders HTTP/1.1\r\nhost: checkout\r\nuser-agent: bench\r\naccept: */*\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 1024\r\n\r\n" + b"x" * 1024
STREAMS = (1, 16, 64)


class _Asking(asyncio.Protocol):
    """Keeps one request in flight."""

    def __init__(self) -> None:
        self.answered = 0
        self._left = len(ANSWER)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(REQUEST)

    def accepted(self) -> None:
        """Nothing to do."""

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left <= 0:
            self._left += len(ANSWER)
            self.answered += 1
            self._transport.write(REQUEST)


class _Answering(asyncio.Protocol):
    """Answers every request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(ANSWER * (len(data) // len(REQUEST)))


def cpu() -> float:
    """Seconds of CPU, user and system, of this process so far."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def connected(tunnel: Tunnel, end: socket.socket) -> None:
    """Give a tunnel its carrier."""
    await asyncio.get_running_loop().create_connection(lambda: tunnel, sock=end)


async def answer(end: socket.socket, pipe: Pipe) -> None:
    """The laptop's end: tells its CPU time whenever asked, until told to stop."""

    def accept(incoming: IncomingStream) -> None:
        incoming.accept(_Answering())

    await connected(Tunnel(Role.CLIENT, accept_streams(accept)), end)
    stopped = asyncio.Event()

    def asked() -> None:
        if pipe.recv():
            pipe.send(cpu())
        else:
            stopped.set()

    asyncio.get_running_loop().add_reader(pipe.fileno(), asked)
    await stopped.wait()


def child(end: socket.socket, pipe: Pipe) -> None:
    """The other process."""
    uvloop.run(answer(end, pipe))


async def ask(end: socket.socket, pipe: Pipe, seconds: float) -> None:
    """The agent's end: measures."""
    tunnel = Tunnel(Role.SERVER)
    await connected(tunnel, end)
    askers: list[_Asking] = []
    for streams in STREAMS:
        while len(askers) < streams:
            askers.append(_Asking())
            open_stream(tunnel, 8080, StreamForm.RAW, askers[-1])
        await asyncio.sleep(0.2)
        pipe.send(True)
        before = sum(asker.answered for asker in askers), cpu(), pipe.recv()
        await asyncio.sleep(seconds)
        pipe.send(True)
        after = sum(asker.answered for asker in askers), cpu(), pipe.recv()
        requests, here, there = (late - early for late, early in zip(after, before, strict=True))
        print(
            f"{streams:3} streams: {requests / seconds:8.0f} requests/s, "
            f"{here / requests * 1e6:5.1f} us opening end, {there / requests * 1e6:5.1f} us accepting end"
        )
    pipe.send(False)
    tunnel.close()
    await tunnel.lost


def main() -> None:
    """Measure and print."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    for end in (near, far):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        end.setblocking(False)
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=child, args=(far, there))
    process.start()
    far.close()
    uvloop.run(ask(near, here, seconds))
    process.join()


if __name__ == "__main__":
    main()
