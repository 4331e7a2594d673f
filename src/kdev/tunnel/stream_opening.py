"""The agent's side of a stream: say where it leads, learn whether the process has taken it, get out of the way."""

import asyncio
from typing import Protocol, cast

from kdev.tunnel.streams import Answer, StreamForm, StreamHead, encode_head
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.tunnel_stream import TunnelStream


class Upstream(Protocol):
    """An ``asyncio.Protocol`` that is also told when the process has taken the connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None: ...  # noqa: D102
    def accepted(self) -> None: ...  # noqa: D102
    def data_received(self, data: bytes) -> None: ...  # noqa: D102
    def eof_received(self) -> bool | None: ...  # noqa: D102
    def connection_lost(self, exc: Exception | None) -> None: ...  # noqa: D102
    def pause_writing(self) -> None: ...  # noqa: D102
    def resume_writing(self) -> None: ...  # noqa: D102


def open_stream(tunnel: Tunnel, port: int, form: StreamForm, protocol: Upstream) -> TunnelStream:
    """Open a stream to the developer's process and return at once; it may be written to.

    Args:
        tunnel: Leads to the laptop.
        port: The application's port that the process stands in for.
        form: What is going to be written.
        protocol: Told ``connection_made`` before this returns, ``accepted`` when the process has taken the connection,
            ``connection_lost(ConnectionRefusedError)`` when it cannot be reached.

    Raises:
        ConnectionError: The tunnel has no carrier.
        LocalProtocolError: No stream can be opened now; see ``Tunnel.can_open``.
    """
    return tunnel.open(_AwaitingAnswer(StreamHead(port=port, form=form), protocol))


class _AwaitingAnswer(asyncio.Protocol):
    """Serves a stream until the answer's byte has come; from then on nothing stands before the real protocol."""

    def __init__(self, head: StreamHead, protocol: Upstream) -> None:
        self._head = encode_head(head)
        self._protocol = protocol
        self._stream: TunnelStream
        self._failure: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._stream = cast("TunnelStream", transport)
        self._stream.write(self._head)
        self._stream.exclude_from_delivered(len(self._head))
        self._protocol.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if data[0] == Answer.ACCEPTED:
            self._stream.set_protocol(cast("asyncio.Protocol", self._protocol))
            self._stream.push_back(data[1:])
            self._protocol.accepted()
        else:
            refused = data[0] == Answer.REFUSED
            self._failure = ConnectionRefusedError("the process does not accept connections") if refused else None
            self._stream.abort()

    def eof_received(self) -> None:
        """The stream closes by itself, and is lost."""

    def connection_lost(self, exc: Exception | None) -> None:
        failure = self._failure or exc or ConnectionResetError("the stream ended without an answer")
        self._protocol.connection_lost(failure)

    def pause_writing(self) -> None:
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        self._protocol.resume_writing()
