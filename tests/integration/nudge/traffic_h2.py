"""The sidecar's HTTP/2 connections to an application: ``traffic_h2.py HOST PORT CONNECTIONS LARGE_SIZE``.

Each connection carries short streams one after another in several workers, and at its beginning a download of
``/large``. At a GOAWAY it opens no more streams, finishes those in flight and is replaced. It says ``ready`` when
every connection has had answers; each line of stdin is answered with what was seen since the last one, as JSON, and
at the end of stdin the connections finish first.
"""

import asyncio
import json
import sys
from collections import Counter

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived, StreamEnded, StreamReset
from h2.exceptions import ProtocolError

WORKERS = 4
GOAWAY = 7


class Connection(asyncio.Protocol):
    """One connection of the sidecar."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.waiting: dict[int, asyncio.Future[int]] = {}
        self.received: Counter[int] = Counter()
        self.leaving = False
        self.unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface."""
        self.transport: asyncio.Transport = transport
        self.h2.initiate_connection()
        self.h2.increment_flow_control_window(1 << 24)
        transport.write(self.h2.data_to_send())

    async def get(self, path: str) -> int:
        """The size of the answer."""
        stream = self.h2.get_next_available_stream_id()
        self.waiting[stream] = asyncio.get_running_loop().create_future()
        self.h2.send_headers(
            stream,
            [(":method", "GET"), (":scheme", "http"), (":authority", self.host), (":path", path)],
            end_stream=True,
        )
        self.transport.write(self.h2.data_to_send())
        return await self.waiting[stream]

    def data_received(self, data: bytes) -> None:
        """Note what has come, and at which stream."""
        try:
            events = self.h2.receive_data(self.without_goaway(data))
        except ProtocolError as error:
            self.transport.abort()
            self.fail(error)
            return
        for event in events:
            if isinstance(event, DataReceived):
                self.received[event.stream_id] += len(event.data)
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, StreamEnded):
                self.waiting.pop(event.stream_id).set_result(self.received.pop(event.stream_id, 0))
            elif isinstance(event, StreamReset):
                self.waiting.pop(event.stream_id).set_exception(ConnectionError(f"stream reset: {event.error_code}"))
        self.transport.write(self.h2.data_to_send())

    def without_goaway(self, data: bytes) -> bytes:
        """The whole frames that have come; h2 would take no frame behind a GOAWAY, which ends nothing yet."""
        self.unread += data
        frames = b""
        while len(self.unread) >= 9 and len(self.unread) >= (end := 9 + int.from_bytes(self.unread[:3], "big")):
            if self.unread[3] == GOAWAY:
                assert self.unread[9:end] == b"\x7f\xff\xff\xff" + bytes(4)
                self.leaving = True
            else:
                frames += self.unread[:end]
            self.unread = self.unread[end:]
        return frames

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what is in flight."""
        self.leaving = True
        self.fail(exc or ConnectionError("closed"))

    def fail(self, error: Exception) -> None:
        """End all streams."""
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(error)
        self.waiting.clear()


class Pool:
    """The sidecar's connections."""

    def __init__(self, host: str, port: int, large: int) -> None:
        self.host, self.port, self.large = host, port, large
        self.seen: Counter[str] = Counter()
        self.stopping = asyncio.Event()

    async def use(self, started: asyncio.Event) -> None:
        """Use one connection after another."""
        source = "::6" if ":" in self.host else "127.0.0.6"
        loop = asyncio.get_running_loop()
        while not self.stopping.is_set():
            _, connection = await loop.create_connection(
                lambda: Connection(self.host), self.host, self.port, local_addr=(source, 0)
            )
            self.seen["connections"] += 1
            async with asyncio.TaskGroup() as group:
                group.create_task(self.get(connection, "/large", self.large))
                for _ in range(WORKERS):
                    group.create_task(self.work(connection, started))
            self.seen["asked"] += connection.leaving
            connection.transport.close()

    async def work(self, connection: Connection, started: asyncio.Event) -> None:
        """Send short requests until the connection is asked to leave."""
        while not connection.leaving and not self.stopping.is_set():
            await self.get(connection, "/small", 3)
            started.set()
            await asyncio.sleep(0.003)

    async def get(self, connection: Connection, path: str, size: int) -> None:
        """Send one request."""
        try:
            assert await connection.get(path) == size
            self.seen["requests"] += 1
        except Exception as error:  # noqa: BLE001 - each is a failed request, whatever it is
            self.seen["failed"] += 1
            self.seen[f"failed {error!r}"] += 1


async def main() -> None:
    """Run from the command line."""
    host, port, connections, large = sys.argv[1], *map(int, sys.argv[2:])
    pool = Pool(host, port, large)
    async with asyncio.TaskGroup() as group:
        started = [asyncio.Event() for _ in range(connections)]
        for event in started:
            group.create_task(pool.use(event))
        for event in started:
            await event.wait()
        _say("ready")
        commands = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
        while await commands.readline():
            _say(json.dumps(pool.seen))
            pool.seen.clear()
        pool.stopping.set()
    _say(json.dumps(pool.seen))


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


asyncio.run(main())
