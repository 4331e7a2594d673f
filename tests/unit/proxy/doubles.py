"""A session in memory for the splice: its streams lead to a port on loopback instead of through the tunnel."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from kdev.policies.matching import Matcher, compile_filters
from kdev.proxy.interface import Report, Upstream
from kdev.tunnel.half_close import half_close
from kdev.tunnel.messages import Mode
from kdev.tunnel.streams import StreamForm


def matcher(*filters: str) -> Matcher:
    """A matcher of these filters; none matches everything."""
    return compile_filters(filters, identity=None, probes=())


class Stream(asyncio.Transport):
    """A stream of the tunnel, as the splice sees it: open at once, accepted or refused later.

    Attributes:
        delivered: How many bytes the process was handed; a test may say that nobody knows.
        reset: The splice has aborted it.
    """

    def __init__(self, protocol: Upstream, port: int, open_streams: list["Stream"]) -> None:
        super().__init__()
        self._protocol = protocol
        self._inner: asyncio.Transport | None = None
        self._pending: list[bytes] = []
        self._ended = False
        self._closing = False
        self._lost = False
        self._open_streams = open_streams
        self.delivered: int | None = 0
        self.reset = False
        open_streams.append(self)
        protocol.connection_made(self)
        self._task = asyncio.get_running_loop().create_task(self._connect(port))

    async def _connect(self, port: int) -> None:
        try:
            await asyncio.get_running_loop().create_connection(lambda: _Inner(self), "127.0.0.1", port)
        except OSError:
            self._end(ConnectionRefusedError())

    def made(self, inner: asyncio.Transport) -> None:
        """The process has accepted: send what has waited."""
        self._inner = inner
        if self._closing:
            inner.abort()
            return
        self._protocol.accepted()
        pending, self._pending = self._pending, []
        for data in pending:
            self._send(data)
        if self._ended:
            half_close(inner)

    def break_off(self) -> None:
        """The tunnel breaks: nobody knows what was delivered."""
        self.delivered = None
        if self._inner is not None:
            self._inner.abort()
        self._end(ConnectionResetError())

    def _send(self, data: bytes) -> None:
        assert self._inner is not None
        if self.delivered is not None:
            self.delivered += len(data)
        self._inner.write(data)

    def _end(self, exc: Exception | None) -> None:
        if not self._lost:
            self._lost = self._closing = True
            self._open_streams.remove(self)
            self._protocol.connection_lost(exc)

    # ---- asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send, or wait for the process."""
        if self._closing:
            return
        if self._inner is None:
            self._pending.append(bytes(data))
        else:
            self._send(bytes(data))

    def half_close(self) -> None:
        """End this direction."""
        self._ended = True
        if self._inner is not None:
            half_close(self._inner)

    def close(self) -> None:
        """Send what was written, then end."""
        self._shut("close")

    def abort(self) -> None:
        """Reset."""
        self.reset = True
        self._shut("abort")

    def _shut(self, how: str) -> None:
        if not self._closing:
            self._closing = True
            if self._inner is not None:
                getattr(self._inner, how)()
            else:
                asyncio.get_running_loop().call_soon(self._end, None)

    def is_closing(self) -> bool:
        """Whether it was closed or lost."""
        return self._closing

    def pause_reading(self) -> None:
        """Hold the process back."""
        if self._inner is not None:
            self._inner.pause_reading()

    def resume_reading(self) -> None:
        """Let it go on."""
        if self._inner is not None:
            self._inner.resume_reading()

    def get_write_buffer_size(self) -> int:
        """What the process has not taken."""
        inner = 0 if self._inner is None else self._inner.get_write_buffer_size()
        return inner + sum(map(len, self._pending))

    def get_extra_info(self, name: str, default: object = None) -> object:
        """Only ``delivered`` is known."""
        return self.delivered if name == "delivered" else default


class _Inner(asyncio.Protocol):
    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._upstream = stream._protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream.made(cast("asyncio.Transport", transport))

    def data_received(self, data: bytes) -> None:
        self._upstream.data_received(data)

    def eof_received(self) -> bool | None:
        return self._upstream.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stream._end(exc)

    def pause_writing(self) -> None:
        self._upstream.pause_writing()

    def resume_writing(self) -> None:
        self._upstream.resume_writing()


@dataclass
class Session:
    """A session whose process listens on ``process``, or on nothing that can be reached when that is None."""

    mode: Mode
    matcher: Matcher
    process: int | None
    timeout: float | None = None
    sample: Callable[[], bool] = lambda: True
    reports: list[Report] = field(default_factory=list)
    streams: list[Stream] = field(default_factory=list)
    forms: list[StreamForm] = field(default_factory=list)

    def report(self, report: Report) -> None:
        """Remember it."""
        self.reports.append(report)

    def sampled(self) -> bool:
        """As the test says."""
        return self.sample()

    def open(self, port: int, protocol: Upstream, *, form: StreamForm) -> asyncio.Transport | None:
        """Open a stream to the process."""
        if self.process is None:
            return None
        self.forms.append(form)
        return Stream(protocol, self.process, self.streams)
