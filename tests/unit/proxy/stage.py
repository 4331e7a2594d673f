"""The stage of most tests: a splice with an application behind it, and a session whose process can be looked at."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from kdev.proxy.interface import Outcome
from kdev.proxy.splice import Splice
from tests.unit.proxy.doubles import Session

PATIENCE = 5.0
Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Server:
    """A server that talks by ``talk`` and remembers every byte it was sent, by connection."""

    talk: Talk
    received: list[bytearray] = field(default_factory=list)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        record = bytearray()
        self.received.append(record)
        self.writers.append(writer)
        read = reader.read

        async def recorded(n: int = -1) -> bytes:
            data = await read(n)
            record.extend(data)
            return data

        reader.read = recorded  # type: ignore[method-assign]  # readuntil and readexactly are not used here
        try:
            await self.talk(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            return
        finally:
            writer.close()

    @property
    def everything(self) -> bytes:
        """All bytes it was sent, one connection after the other."""
        return b"".join(self.received)


@dataclass
class Stage:
    """What a test sees."""

    splice: Splice
    app: Server
    process: Server
    port: int
    session: Session | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client."""
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, request: bytes) -> bytes:
        """Send on a connection of its own, and read the answer."""
        reader, writer = await self.connect()
        writer.write(request)
        data = await asyncio.wait_for(_one_answer(reader), PATIENCE)
        writer.close()
        return data

    @property
    def outcomes(self) -> list[Outcome]:
        """What was reported."""
        assert self.session is not None
        return [report.outcome for report in self.session.reports]


async def _one_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


async def receive(reader: asyncio.StreamReader, size: int) -> bytes:
    """Exactly so many bytes, or a failure within a bounded time."""
    return await asyncio.wait_for(reader.readexactly(size), PATIENCE)


async def until(condition: Callable[[], object]) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - what is waited for is in other hands
            await asyncio.sleep(0.002)


async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Read everything and say nothing."""
    while await reader.read(65536):
        pass


def answering(response: bytes) -> Talk:
    """Answer each read that ends a plain request with ``response``."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            for _ in range(data.count(b"\r\n\r\n")):
                writer.write(response)

    return talk


def response(body: bytes, *fields: bytes) -> bytes:
    """A plain response."""
    extra = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 200 OK\r\n" + extra + b"Content-Length: %d\r\n\r\n" % len(body) + body


APP = response(b"from the app")
PROCESS = response(b"from the process")


@asynccontextmanager
async def staged(
    session: Session | None = None, *, app: Talk | None = None, process: Talk | None = None, app_up: bool = True
) -> AsyncIterator[Stage]:
    """Set the stage; a session with ``process`` 0 gets the process's port."""
    app_server, process_server = Server(app or answering(APP)), Server(process or answering(PROCESS))
    servers = []
    for server in (app_server, process_server):
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        servers.append(listening)
    if session is not None and session.process == 0:
        session.process = process_server.port
    if not app_up:
        servers[0].close()
    splice = Splice(lambda: session, original_destination=lambda _: ("127.0.0.1", app_server.port))
    listening = await asyncio.get_running_loop().create_server(splice, "127.0.0.1", 0)
    try:
        yield Stage(splice, app_server, process_server, listening.sockets[0].getsockname()[1], session)
    finally:
        listening.close()
        splice.connections.abort()
        await asyncio.wait_for(splice.connections.none_left(), PATIENCE)
        for server in servers:
            server.close()
        for stopped in (app_server, process_server):
            for writer in stopped.writers:
                writer.transport.abort()
        # What was closed above ends in the loop's next turns.
        for _ in range(3):
            await asyncio.sleep(0.001)
