"""How fast a large transfer goes through the tunnel, beside the same transfer on the bare carrier.

One process sends 100 MB to another over loopback TCP: first through asyncio alone, then on one stream of a tunnel.

Run: python -m benchmarks.tunnel_bulk
"""

import asyncio
import multiprocessing
import socket
import time
from typing import cast

import uvloop

from kdev.tunnel.transport import Tunnel
from kdev.tunnel.tunnel_stream import TunnelStream
from kdev.tunnel.yamux.connection import Role
from kdev.tunnel.yamux.limits import Limits

CHUNK = b"x" * 256 * 1024
SIZE = 400 * len(CHUNK)
WINDOWS = (256 * 1024, 1024 * 1024)


class _Sending(asyncio.Protocol):
    """Sends as fast as it may, until the other end says that it has everything."""

    def __init__(self) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = SIZE
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._send()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._send()

    def data_received(self, data: bytes) -> None:
        assert data == b"."
        self.done.set_result(None)

    def _send(self) -> None:
        while self._left > 0 and not self._paused:
            self._left -= len(CHUNK)
            self._transport.write(CHUNK)


class _Counting(asyncio.Protocol):
    """Says so when everything has come."""

    def __init__(self) -> None:
        self._left = SIZE

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left == 0:
            self._transport.write(b".")


def count(_stream: TunnelStream) -> _Counting:
    """The acceptor."""
    return _Counting()


async def receive(ends: list[socket.socket]) -> None:
    """The other process: bare first, then one tunnel for each window."""
    loop = asyncio.get_running_loop()
    await loop.create_connection(_Counting, sock=ends[0])
    tunnels = [Tunnel(Role.SERVER, count, limits=Limits(window=window)) for window in WINDOWS]
    for tunnel, end in zip(tunnels, ends[1:], strict=True):
        await loop.create_connection(lambda tunnel=tunnel: tunnel, sock=end)  # type: ignore[misc]
    for tunnel in tunnels:
        await tunnel.lost


def child(ends: list[socket.socket]) -> None:
    """The other process."""
    uvloop.run(receive(ends))


async def send(ends: list[socket.socket]) -> None:
    """Measure and print."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    _, bare = await loop.create_connection(_Sending, sock=ends[0])
    await bare.done
    direct = time.perf_counter() - began
    print(f"bare carrier: {SIZE / direct / 1e6:6.0f} MB/s")
    for window, end in zip(WINDOWS, ends[1:], strict=True):
        tunnel = Tunnel(Role.CLIENT)
        await loop.create_connection(lambda tunnel=tunnel: tunnel, sock=end)  # type: ignore[misc]
        began = time.perf_counter()
        sending = _Sending()
        tunnel.open(sending)
        await sending.done
        took = time.perf_counter() - began
        print(f"window {window // 1024:5} KiB: {SIZE / took / 1e6:6.0f} MB/s, {direct / took:.2f} of the bare carrier")
        tunnel.close()
        await tunnel.lost


def main() -> None:
    """Measure."""
    near, far = [], []
    for _ in range(1 + len(WINDOWS)):
        with socket.create_server(("127.0.0.1", 0)) as server:
            near.append(socket.create_connection(server.getsockname()))
            far.append(server.accept()[0])
    process = multiprocessing.Process(target=child, args=(far,))
    process.start()
    for end in far:
        end.close()
    uvloop.run(send(near))
    process.join()


if __name__ == "__main__":
    main()
