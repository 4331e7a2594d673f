"""An application and its sidecar's clients, as a process: ``traffic.py HOST PORT CLIENTS HEADERS SECONDS``.

The server keeps connections alive and says in each response who its peer is. The clients bind 127.0.0.6 (or ::6),
send a request every few milliseconds over kept connections, and leave after a response that says
``connection: close``. With SECONDS above 0 each response's body takes that long. It says ``ready`` when every
client has had an answer; each line of stdin is answered with what was seen since the last one, as JSON, and at the
end of stdin the clients finish first.
"""

import asyncio
import contextlib
import json
import sys
from collections import Counter

HEADERS = {
    "date": "date: Sat, 21 Nov 2026 01:05:14 GMT\r\nserver: a-server\r\n",
    "keep-alive": "Connection: keep-alive\r\n",
    "bare": "",
}
INTERVAL = 0.005
PIECES = 20


class Traffic:
    """What all clients share."""

    def __init__(self, host: str, port: int, headers: str, seconds: float) -> None:
        self.host, self.port, self.headers, self.seconds = host, port, headers, seconds
        self.seen: Counter[str] = Counter()
        self.stopping = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        peer = writer.get_extra_info("peername")[0]
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while await reader.readuntil(b"\r\n\r\n"):
                pieces = PIECES if self.seconds else 1
                body = f"{peer}\n".encode() * pieces
                head = f"HTTP/1.1 200 OK\r\n{self.headers}content-length: {len(body)}\r\n\r\n".encode()
                writer.write(head + body[: len(body) // pieces])
                for piece in range(1, pieces):
                    await asyncio.sleep(self.seconds / pieces)
                    writer.write(body[len(body) // pieces * piece : len(body) // pieces * (piece + 1)])
        writer.close()

    async def use(self, started: asyncio.Event) -> None:
        """Be one client of a pool: one connection after another."""
        source = "::6" if ":" in self.host else "127.0.0.6"
        while not self.stopping.is_set():
            try:
                reader, writer = await asyncio.open_connection(self.host, self.port, local_addr=(source, 0))
                self.seen["connections"] += 1
                await self.use_connection(reader, writer, started, source)
                writer.close()
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.seen["failed"] += 1
                self.seen[f"failed {error!r}"] += 1

    async def use_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, started: asyncio.Event, source: str
    ) -> None:
        """Send requests until the server's word or the end."""
        while not self.stopping.is_set():
            writer.write(b"GET /some/path HTTP/1.1\r\nhost: app\r\n\r\n")
            head = await reader.readuntil(b"\r\n\r\n")
            lines = dict(line.split(":", 1) for line in head.decode().lower().split("\r\n")[1:-2])
            body = await reader.readexactly(int(lines["content-length"]))
            peers = set(body.decode().split())
            assert len(peers) == 1, body
            self.seen["requests"] += 1
            direct = peers == {source}
            self.seen["direct"] += direct
            started.set()
            if lines.get("connection", "").strip() == "close":
                self.seen["asked"] += 1
                return
            await asyncio.sleep(INTERVAL)

    async def run(self, clients: int) -> None:
        """Serve and use until the end of stdin."""
        server = await asyncio.start_server(self.answer, self.host, self.port)
        async with asyncio.TaskGroup() as group:
            started = [asyncio.Event() for _ in range(clients)]
            for event in started:
                group.create_task(self.use(event))
            for event in started:
                await event.wait()
            _say("ready")
            commands = asyncio.StreamReader()
            await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(commands), sys.stdin
            )
            while await commands.readline():
                _say(json.dumps(self.seen))
                self.seen.clear()
            self.stopping.set()
        _say(json.dumps(self.seen))
        server.close()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run from the command line."""
    host, port, clients, headers, seconds = sys.argv[1:]
    asyncio.run(_main(host, int(port), int(clients), headers, float(seconds)))


async def _main(host: str, port: int, clients: int, headers: str, seconds: float) -> None:
    await Traffic(host, port, HEADERS[headers], seconds).run(clients)


main()
