"""Joins each stream that the agent opens with a connection to the developer's process.

Bytes pass both ways untouched. Each end pauses the other when it cannot take more, ends it when it ends, and resets it
when it breaks. Nothing is read from a stream before the process has accepted the connection, so that the agent knows of
every byte whether it was handed over: what was not can be repeated on the pod.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import cast

from kdev.proxy.flow import reset
from kdev.session.dialling import dial_local
from kdev.session.replay import Answered, Replay
from kdev.tunnel.half_close import half_close
from kdev.tunnel.stream_accepting import IncomingStream
from kdev.tunnel.streams import StreamForm


class LocalRelay:
    """Serves the agent's streams; give ``serve`` to ``accept_streams``.

    Args:
        ports: The local port for each of the application's.
        tasks: Runs the dialling; ends with the session.
        answered: Told about every mirrored request whose answer has ended.
    """

    def __init__(
        self, ports: Mapping[int, int], tasks: asyncio.TaskGroup, answered: Callable[[Answered], None]
    ) -> None:
        self._ports = dict(ports)
        self._tasks = tasks
        self._answered = answered

    def serve(self, incoming: IncomingStream) -> None:
        """Connect one stream, or refuse it when its port is not mapped or nobody accepts there."""
        port = self._ports.get(incoming.head.port)
        if port is None:
            incoming.refuse()
        elif incoming.head.form is StreamForm.RECORDS:
            replay = Replay(incoming, port, self._tasks, self._answered)
            replay.start()
        else:
            self._tasks.create_task(_join(incoming, port))


async def _join(incoming: IncomingStream, port: int) -> None:
    try:
        await dial_local(port, lambda: _LocalEnd(incoming))
    except OSError:
        incoming.refuse()


class _LocalEnd(asyncio.Protocol):
    """The connection to the process: what it brings goes into the stream.

    The stream is accepted as soon as there is a connection and not a turn of the loop later: a server that speaks first
    may already have spoken.
    """

    def __init__(self, incoming: IncomingStream) -> None:
        self._incoming = incoming
        self._stream: asyncio.Transport = incoming.stream
        self._stream_end: _StreamEnd

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream_end = _StreamEnd(cast("asyncio.Transport", transport))
        self._incoming.accept(self._stream_end)

    def data_received(self, data: bytes) -> None:
        self._stream.write(data)

    def eof_received(self) -> bool:
        if self._stream_end.ended:
            self._stream.close()
            return False
        self._stream_end.local_ended = True
        half_close(self._stream)
        return True

    def pause_writing(self) -> None:
        self._stream.pause_reading()

    def resume_writing(self) -> None:
        self._stream.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._stream.close()
        else:
            self._stream.abort()


class _StreamEnd(asyncio.Protocol):
    """The stream: what it brings goes to the process.

    Attributes:
        ended: Whether the agent has ended its direction.
        local_ended: Whether the process has ended its own.
    """

    def __init__(self, local: asyncio.Transport) -> None:
        self.ended = False
        self.local_ended = False
        self._local = local

    def data_received(self, data: bytes) -> None:
        self._local.write(data)

    def eof_received(self) -> bool:
        self.ended = True
        if self.local_ended:
            self._local.close()
            return False
        half_close(self._local)
        return True

    def pause_writing(self) -> None:
        self._local.pause_reading()

    def resume_writing(self) -> None:
        self._local.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is None:
            self._local.close()
        else:
            reset(self._local)
