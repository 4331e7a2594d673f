"""CPU per request of the splice alone, over loopback: direct, pass-through, mirror and steal, with wrk as the client.

Streams lead straight to a second local server instead of through a tunnel, so the figures are the splice's own.
Run with ``python -m benchmarks.splice [seconds]``.
"""

import asyncio
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe

import uvloop

from kdev.proxy.interface import Report
from kdev.proxy.splice import Splice
from kdev.tunnel.messages import Mode
from tests.unit.proxy.doubles import Session, matcher

RESPONSE = (
    b"HTTP/1.1 200 OK\r\nserver: benchmark\r\ndate: Sat, 01 Jan 2028 00:00:00 GMT\r\n"
    b"content-type: application/octet-stream\r\ncontent-length: 1024\r\n\r\n" + b"x" * 1024
)
_TICKS = os.sysconf("SC_CLK_TCK")


class _Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, _data: bytes) -> None:
        self._transport.write(RESPONSE)  # type: ignore[attr-defined]  # a stream's transport


class _Swallowing(asyncio.Protocol):
    """The process as the target of copies: it only reads."""


def _serve(pipe: Pipe, make: Callable[[], Callable[[], asyncio.Protocol]]) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(make(), "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    uvloop.run(run())


def answering() -> Callable[[], asyncio.Protocol]:
    """A server of 1 kB answers."""
    return _Answering


def swallowing() -> Callable[[], asyncio.Protocol]:
    """A server that only reads."""
    return _Swallowing


class _Unreported(Session):
    def report(self, report: Report) -> None:
        """A benchmark makes a million of them."""


@dataclass(frozen=True)
class Splicing:
    """Makes a splice in front of ``app``, in the process that serves it."""

    app: int
    mode: Mode | None = None
    filter: str = ""
    process: int | None = None

    def __call__(self) -> Callable[[], asyncio.Protocol]:
        """Make it."""
        session = None if self.mode is None else _Unreported(self.mode, matcher(self.filter), self.process)
        return Splice(lambda: session, original_destination=lambda _: ("127.0.0.1", self.app))


@contextmanager
def served(make: Callable[[], Callable[[], asyncio.Protocol]]) -> Iterator[tuple[int, int]]:
    """Serve in a process of its own; yields its port and its pid."""
    context = get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, make))
    process.start()
    try:
        yield ours.recv(), process.pid or 0
    finally:
        process.kill()
        process.join()


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used."""
    with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123  # as a benchmark reads it: often and plainly
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def measure(port: int, pid: int, connections: int, seconds: int) -> tuple[float, float, str]:
    """Requests per second, CPU microseconds per request of ``pid``, and wrk's median latency."""
    before, start = cpu_seconds(pid), time.monotonic()
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}/api/orders"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used, took = cpu_seconds(pid) - before, time.monotonic() - start
    requests = int(re.search(r"(\d+) requests in", output)[1])  # type: ignore[index]  # wrk always says so
    median = re.search(r"50%\s+(\S+)", output)[1]  # type: ignore[index]
    bad = re.search(r"(Socket errors.*|Non-2xx.*)", output)
    return requests / took, used / requests * 1e6, median + (f"  {bad[1]}" if bad else "")


def main() -> None:
    """Print the table."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    print(f"{'hop':<10}{'conns':>6}{'req/s':>10}{'us CPU':>9}  p50")
    with served(answering) as (app, app_pid), served(swallowing) as (sink, _):
        hops = {
            "pass": Splicing(app),
            "unmatched": Splicing(app, Mode.STEAL, "path=/other/*", app),
            "mirror": Splicing(app, Mode.MIRROR, "path=/api/*", sink),
            "steal": Splicing(app, Mode.STEAL, "path=/api/*", app),
        }
        for connections in (1, 16, 64):
            print(_row("direct", connections, measure(app, app_pid, connections, seconds)))
            for name, splicing in hops.items():
                with served(splicing) as (port, pid):
                    print(_row(name, connections, measure(port, pid, connections, seconds)), flush=True)


def _row(name: str, connections: int, measured: tuple[float, float, str]) -> str:
    rate, cpu, median = measured
    return f"{name:<10}{connections:>6}{rate:>10.0f}{cpu:>9.1f}  {median}"


if __name__ == "__main__":
    main()
