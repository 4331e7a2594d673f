"""A steady load of HTTP/1.1 requests that says of each what became of it, in the format of ``h2load --log-file``.

Run as ``python -m tests.integration.resilience.http1_load JSON`` with the fields of ``Wanted``. One line for each
request on stdout: microseconds since the epoch when it was sent, the answer's status or what went wrong, microseconds
until it was over. SIGTERM ends it; what is unanswered by then and shortly after is told as such.

An open loop: requests are due by the clock. One that finds no connection free waits for one, and no more are owed than
there are connections, so that a stall is not followed by a flood.
"""

import asyncio
import contextlib
import json
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from typing import cast

import uvloop

TICK = 0.002
"""Seconds between two looks at what is due: ten requests at 5000/s."""

LAST_ANSWERS_WITHIN = 3.0
"""Seconds after SIGTERM for requests in flight."""

_HEAD_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


@dataclass(frozen=True)
class Wanted:
    """What to send: ``rate`` requests per second over so many connections."""

    host: str
    port: int
    path: str
    connections: int
    rate: float

    def request(self) -> bytes:
        """The bytes of one request."""
        return f"GET {self.path} HTTP/1.1\r\nhost: {self.host}\r\n\r\n".encode()


class Http1Load:
    """Sends what is due, and writes down what became of it."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.bytes = wanted.request()
        self.idle: deque[_Connection] = deque()
        self.busy: set[_Connection] = set()
        self.stopping = False
        self._last_answer = asyncio.Event()
        self._dialling: asyncio.TaskGroup

    async def run(self, stop: asyncio.Event) -> None:
        """Until stopped."""
        async with asyncio.TaskGroup() as self._dialling:
            for _ in range(self.wanted.connections):
                self.dial()
            sending = self._dialling.create_task(self._send())
            await stop.wait()
            self.stopping = True
            if not self.busy:
                self._last_answer.set()
            sending.cancel()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LAST_ANSWERS_WITHIN):
                    await self._last_answer.wait()
            for connection in tuple(self.busy):
                connection.over("unanswered")
            for connection in (*self.busy, *self.idle):
                connection.close()

    def over(self, connection: "_Connection") -> None:
        """A request has ended."""
        self.busy.discard(connection)
        if self.stopping and not self.busy:
            self._last_answer.set()

    def dial(self) -> None:
        """Have one more connection, unless the end is near."""
        if not self.stopping:
            self._dialling.create_task(self._dial())

    async def _dial(self) -> None:
        began = time.time()
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: _Connection(self), self.wanted.host, self.wanted.port
            )
        except OSError as error:
            note(began, type(error).__name__)
            await asyncio.sleep(0.1)
            self.dial()

    async def _send(self) -> None:
        last, due = time.monotonic(), 0.0
        while True:
            now = time.monotonic()
            due = min(due + (now - last) * self.wanted.rate, self.wanted.connections)
            last = now
            while due >= 1 and self.idle:
                self.idle.popleft().send(self.bytes)
                due -= 1
            await asyncio.sleep(TICK)


class _Connection(asyncio.Protocol):
    """One connection, with at most one request in flight."""

    def __init__(self, load: Http1Load) -> None:
        self._load = load
        self._received = bytearray()
        self._sent_at = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._load.idle.append(self)

    def send(self, request: bytes) -> None:
        """Send a request, on an idle connection."""
        self._load.busy.add(self)
        self._sent_at = time.time()
        self._transport.write(request)

    def over(self, outcome: str) -> None:
        """The request in flight has ended so."""
        self._load.over(self)
        note(self._sent_at, outcome)

    def close(self) -> None:
        """End the connection."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = bytes(self._received).partition(_HEAD_END)
        if not found or len(body) < _length(head):
            return
        self._received.clear()
        self.over(head[9:12].decode())
        if b"connection: close" in head.lower():
            self.close()
        else:
            self._load.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self._load.busy:
            self.over(type(exc).__name__ if exc else "closed")
        elif self in self._load.idle:
            self._load.idle.remove(self)
        self._load.dial()


def note(began: float, outcome: str) -> None:
    """Write one line."""
    sys.stdout.write(f"{int(began * 1e6)}\t{outcome}\t{int((time.time() - began) * 1e6)}\n")


def _length(head: bytes) -> int:
    lowered = head.lower()
    at = lowered.find(_LENGTH)
    return int(lowered[at + len(_LENGTH) :].split(b"\r\n", 1)[0]) if at >= 0 else 0


async def _main(wanted: Wanted) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await Http1Load(wanted).run(stop)


if __name__ == "__main__":
    uvloop.run(_main(Wanted(**json.loads(sys.argv[1]))))
