"""What the relay's tests put at its two sides: the agent's end of a tunnel, and a process that they drive."""

import asyncio
import socket
from dataclasses import dataclass, field

from kdev.session.replay import Answered
from kdev.tunnel.stream_opening import open_stream
from kdev.tunnel.streams import StreamForm
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.tunnel_stream import TunnelStream

POD_PORT = 8080


class AgentEnd(asyncio.Protocol):
    """What the agent sees of one stream."""

    def __init__(self) -> None:
        self.stream: TunnelStream
        self.accept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()
        self.bytes = asyncio.StreamReader()
        self.paused = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The stream is open."""

    def accepted(self) -> None:
        """The process has taken the connection."""
        self.accept.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Bytes from the process."""
        self.bytes.feed_data(data)

    def eof_received(self) -> bool:
        """The process has ended its direction."""
        self.bytes.feed_eof()
        return True

    def pause_writing(self) -> None:
        """The laptop takes no more."""
        self.paused.set()

    def resume_writing(self) -> None:
        """The laptop takes more."""
        self.paused.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is gone."""
        if not self.accept.done():
            self.accept.cancel()
        self.lost.set_result(exc)


async def stalled(agent: AgentEnd) -> int:
    """Wait until the agent's stream gets nothing out any more, and return how many bytes are left in it.

    Nothing tells that every buffer on the way is full, so this looks until the number stands still.
    """
    sizes: list[int] = []
    while len(sizes) < 10 or len(set(sizes[-10:])) > 1:
        await asyncio.sleep(0.01)
        sizes.append(agent.stream.get_write_buffer_size())
    return sizes[-1]


@dataclass
class Laptop:
    """The tunnel, and what the relay reported."""

    tunnel: Tunnel
    answered: asyncio.Queue[Answered] = field(default_factory=asyncio.Queue)

    def open(self, *, form: StreamForm = StreamForm.RAW, port: int = POD_PORT) -> AgentEnd:
        """Open a stream as the agent does."""
        end = AgentEnd()
        end.stream = open_stream(self.tunnel, port, form, end)
        return end


class LocalServer:
    """The developer's process: the test takes its connections one by one."""

    def __init__(self) -> None:
        self.port = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._connections: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        self._server: asyncio.Server

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listen; on a free port unless told."""
        self._server = await asyncio.start_server(self._connected, host, port)
        listener = self._server.sockets[0]
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)  # so that a reader who stops is noticed
        self.port = listener.getsockname()[1]

    async def stop(self) -> None:
        """Listen no more."""
        self._server.close()
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Stop, and leave no connection open."""
        await self.stop()
        for writer in self._writers:
            if not writer.transport.is_closing():
                writer.transport.abort()
        await asyncio.sleep(0)

    async def connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """The next connection that was made."""
        return await self._connections.get()

    @property
    def connections_waiting(self) -> int:
        """How many were made that the test has not taken."""
        return self._connections.qsize()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        self._connections.put_nowait((reader, writer))
