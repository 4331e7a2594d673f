"""The splice as a hop between a client and two real servers; streams to the process go over TCP, without a tunnel.

Run as a program it serves a benchmark: ``python -m tests.integration.proxy_http2.hop LISTEN POD PROCESS MODE PREFIX``.
"""

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self, cast

import uvloop

from kdev.policies.matching import Matcher, compile_filters
from kdev.proxy.http2.taking_over import take_over
from kdev.proxy.interface import Report, Shadowing, Upstream
from kdev.proxy.splice import Splice
from kdev.tunnel.messages import Mode
from kdev.tunnel.streams import StreamForm

HOST = "127.0.0.1"


class DirectStream(asyncio.Transport):
    """Stands in for a stream of the tunnel: may be written to at once, connects meanwhile."""

    def __init__(self, protocol: Upstream, port: int) -> None:
        super().__init__()
        self._protocol = protocol
        self._inner: asyncio.Transport | None = None
        self._waiting: list[bytes] = []
        self._closing = False
        self._delivered: int | None = None
        self._connecting = asyncio.get_running_loop().create_task(self._connect(port))
        protocol.connection_made(self)

    async def _connect(self, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Connected(self), HOST, port)
        except OSError as error:
            self._closing, self._delivered = True, 0
            self._protocol.connection_lost(error)

    def connected(self, inner: asyncio.Transport) -> None:
        """Lead the connection to the real protocol, before the server's first bytes come."""
        self._inner = inner
        inner.set_protocol(self._protocol)
        inner.writelines(self._waiting)
        self._protocol.accepted()

    def write(self, data: Any) -> None:
        """As ``asyncio.Transport``."""
        if self._inner is None:
            self._waiting.append(data)
        else:
            self._inner.write(data)

    def is_closing(self) -> bool:
        """As ``asyncio.Transport``."""
        return self._closing or (self._inner is not None and self._inner.is_closing())

    def close(self) -> None:
        """As ``asyncio.Transport``."""
        if self._inner is not None:
            self._inner.close()

    def abort(self) -> None:
        """As ``asyncio.Transport``."""
        self._closing = True
        self._connecting.cancel()
        if self._inner is not None:
            self._inner.abort()

    def pause_reading(self) -> None:
        """As ``asyncio.Transport``."""
        if self._inner is not None:
            self._inner.pause_reading()

    def resume_reading(self) -> None:
        """As ``asyncio.Transport``."""
        if self._inner is not None:
            self._inner.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """The defaults will do."""

    def get_write_buffer_size(self) -> int:
        """As ``asyncio.Transport``."""
        return 0 if self._inner is None else self._inner.get_write_buffer_size()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As ``asyncio.Transport``."""
        return self._delivered if name == "delivered" else default


class _Connected(asyncio.Protocol):
    def __init__(self, stream: DirectStream) -> None:
        self._stream = stream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream.connected(cast("asyncio.Transport", transport))


@dataclass
class DirectSession:
    """A session whose process listens on a port of this machine; None is nobody."""

    mode: Mode
    matcher: Matcher
    process: int | None
    timeout: float | None = None
    seen: Counter[str] = field(default_factory=Counter)
    details: Counter[str] = field(default_factory=Counter)

    def report(self, report: Report) -> None:
        """Count it."""
        self.seen[report.outcome.value] += 1
        if report.detail:
            self.details[report.detail] += 1

    def sampled(self) -> bool:
        """Every one."""
        return True

    def open(self, port: int, protocol: Upstream, *, form: StreamForm) -> asyncio.Transport | None:
        """Connect to the process."""
        assert form is StreamForm.RAW
        return None if self.process is None else DirectStream(protocol, self.process)


def make_session(mode: str, process: int | None, prefix: str = "/b") -> DirectSession | None:
    """A session by the words of a command line: ``pass`` has none."""
    if mode == "pass":
        return None
    return DirectSession(Mode(mode), compile_filters([f"path={prefix}*"], identity=None, probes=[]), process)


class Hop:
    """A splice with an event loop and a thread of its own.

    Attributes:
        port: Where it listens.
        session: What ``current`` gives; may be replaced while connections are open.
        splice: Only to be touched by ``call``.
    """

    port: int
    splice: Splice

    def __init__(self, pod: int, session: DirectSession | None) -> None:
        self.session = session
        self._pod = pod
        self._loop = uvloop.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self.call(self._stop.set)
        self._thread.join()
        self._loop.close()

    def call(self, function: Callable[[], Any]) -> None:
        """Call something in the splice's thread."""
        self._loop.call_soon_threadsafe(function)

    def drain(self) -> None:
        """Hand back the connections there are, but not those that come."""
        for connection in tuple(self.splice.connections._open):
            connection.drain()

    def _current(self) -> Shadowing | None:
        return self.session

    async def _serve(self) -> None:
        self.splice = Splice(
            self._current, http2=take_over, original_destination=lambda _transport: (HOST, self._pod)
        )  # fmt: skip
        server = await asyncio.get_running_loop().create_server(self.splice, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        self.splice.connections.abort()
        await self.splice.connections.none_left()
        await asyncio.sleep(0)


async def _main(listen: int, pod: int, process: int, mode: str, prefix: str) -> None:
    session = make_session(mode, process, prefix)
    splice = Splice(
        lambda: session,
        http2=take_over,
        original_destination=lambda _transport: (HOST, pod),
    )
    server = await asyncio.get_running_loop().create_server(splice, HOST, listen, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5]))
