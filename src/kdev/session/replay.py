"""Plays mirrored HTTP/1 requests to the developer's process, one after the other, and drops the answers.

The next request goes out when the answer to the one before has ended: a process that is stopped at a breakpoint then
holds one request, the stream's window holds a bounded number more, and the agent drops what does not fit. The process
may close its connection whenever it likes; the next request gets a new one.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from kdev.session.dialling import dial_local
from kdev.session.replay_connection import ReplayConnection
from kdev.tunnel.records import Cut, Record, RecordReader
from kdev.tunnel.stream_accepting import IncomingStream
from kdev.tunnel.yamux.protocol_error import RemoteProtocolError


@dataclass(frozen=True, slots=True)
class Answered:
    """What the process did with one mirrored request.

    Attributes:
        port: The application's port it was meant for.
        method: As sent.
        target: As sent.
        status: Of the final answer; None when the process ended the connection without one.
    """

    port: int
    method: str
    target: str
    status: int | None


class Replay(asyncio.Protocol):
    """Serves one stream of records; ``start`` dials the process and accepts or refuses the stream."""

    def __init__(
        self,
        incoming: IncomingStream,
        local_port: int,
        tasks: asyncio.TaskGroup,
        answered: Callable[[Answered], None],
    ) -> None:
        self._incoming = incoming
        self._stream = incoming.stream
        self._local_port = local_port
        self._tasks = tasks
        self._answered = answered
        self._records = RecordReader()
        self._waiting: deque[Record | Cut] = deque()
        self._connection: ReplayConnection | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._inside = False  # the process was sent the begin of a message, not its end
        self._skipping = False  # the rest of this message has nowhere to go
        self._ended = False
        self._lost = False

    def start(self) -> None:
        """Dial for the first time."""
        self._dialling = self._tasks.create_task(self._dial_first())

    # ---- what the stream tells

    def data_received(self, data: bytes) -> None:
        """Records arrived."""
        try:
            self._waiting.extend(self._records.feed(data))
        except RemoteProtocolError:
            self._stream.abort()
            return
        self._advance()

    def eof_received(self) -> bool:
        """No more records will come; what is there is still played."""
        self._ended = True
        if self._records.inside:
            self._waiting.append(Cut())
        self._advance()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The stream is gone: a request that has not gone out whole must not look as if it had."""
        self._lost = True
        self._waiting.clear()
        if self._dialling is not None:
            self._dialling.cancel()
        if self._connection is not None and exc is None:
            self._connection.close()
        elif self._connection is not None:
            self._connection.abort()

    # ---- what the connection to the process tells

    def connected(self, connection: ReplayConnection) -> None:
        """The process has accepted a connection."""
        self._connection = connection

    def changed(self) -> None:
        """The connection can take more, or is done with a message."""
        self._advance()

    def lost(self, connection: ReplayConnection) -> None:
        """The process closed the connection, or we did."""
        if connection is not self._connection:
            return
        self._connection = None
        self._skipping = self._inside
        if connection.used:
            self._advance()
        else:
            self._stream.abort()  # it takes connections and no requests: dialling again would go on for ever

    def answer(self, method: str, target: str, status: int | None) -> None:
        """An answer has ended."""
        self._answered(Answered(self._incoming.head.port, method, target, status))

    # ---- inside

    def _advance(self) -> None:
        """Play what waits as far as the process takes it, and hold the stream back while it does not."""
        while self._waiting and self._can_play():
            self._play(self._waiting.popleft())
        if self._lost:
            return
        if self._waiting:
            self._stream.pause_reading()
        elif not self._ended:
            self._stream.resume_reading()
        elif self._connection is None or self._connection.idle:
            self._stream.close()
            if self._connection is not None:
                self._connection.close()

    def _can_play(self) -> bool:
        if self._skipping or isinstance(self._waiting[0], Cut):
            return True
        if self._connection is None:
            self._dial()
            return False
        return self._connection.writable and (self._inside or self._connection.idle)

    def _play(self, record: Record | Cut) -> None:
        if isinstance(record, Cut):
            if self._connection is not None and self._inside:
                self._connection.abort()
                self._connection = None
            self._inside = self._skipping = False
            return
        if self._connection is not None and not self._skipping:
            if not self._inside:
                self._connection.begin(record.data)
            self._connection.write(record.data, last=record.last)
        self._inside = not record.last
        if record.last:
            self._skipping = False

    def _dial(self) -> None:
        if self._dialling is None:
            self._dialling = self._tasks.create_task(self._dial_again())

    async def _dial_first(self) -> None:
        if await self._connect():
            self._incoming.accept(self)
        else:
            self._incoming.refuse()

    async def _dial_again(self) -> None:
        """Dial for the next request; where the process is gone, the agent shall ask again with a new stream."""
        if await self._connect():
            self._advance()
        else:
            self._stream.abort()

    async def _connect(self) -> bool:
        try:
            await dial_local(self._local_port, lambda: ReplayConnection(self))
        except OSError:
            return False
        finally:
            self._dialling = None
        return True
