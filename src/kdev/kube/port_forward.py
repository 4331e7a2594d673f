"""Port-forward to one port of a pod, as an asyncio transport: the tunnel's carrier.

Protocol ``v4.channel.k8s.io`` over a WebSocket (Kubernetes, "kubectl port-forward" over WebSockets; kubelet
server/portforward/websocket.go): binary messages begin with a channel's number; channel 0 is data, channel 1 is the
error text; the first message of each holds the port as two bytes, little-endian. There is no half-close, and the
connection ends without a closing handshake when the pod's end has closed, which is a normal end.
"""

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from typing import Any, cast

from picows import WSError, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport, ws_connect

from kdev.kube.api import CONNECT_TIMEOUT, Api, proxy_of
from kdev.kube.objects import Pod
from kdev.kube.refusals import Question, refusal, unreachable
from kdev.kube.targets import Kind

PROTOCOL = "v4.channel.k8s.io"

FRAME_MAX = 4 << 20
"""Bytes of one WebSocket message. API servers send 32 KiB; a larger one than this is no port-forward's."""

PIECE = 256 * 1024
"""Bytes of one outgoing message: large enough to cost little, small enough for any proxy on the way."""

HANDSHAKE_TIMEOUT = 10.0
"""Seconds for the upgrade; it goes through the API server and the kubelet to the container's runtime."""

_DATA, _ERROR = 0, 1
_ERROR_MAX = 4096  # characters of the error channel that are kept
_LOG = logging.getLogger("kdev.port-forward")
_LOG.addHandler(logging.NullHandler())


class PortForwardClosed(ConnectionError):  # noqa: N818 - as asyncio's own, it is how a connection ended
    """The pod's side refused or ended the connection, in its own words."""


async def forward(api: Api, pod: Pod, port: int, protocol: asyncio.Protocol) -> asyncio.Transport:
    """Connect to a port of the pod.

    The kubelet answers before it has dialled, so a port that nobody listens on is told by ``connection_lost`` with
    ``PortForwardClosed`` shortly after.

    Args:
        api: The cluster.
        pod: The pod.
        port: One on its loopback.
        protocol: Told ``connection_made``, ``data_received``, ``pause_writing``, ``resume_writing`` and
            ``connection_lost``.

    Raises:
        ClusterFailure: The API server refused or could not be reached.
        NotFound: The pod is gone.
    """
    question = Question(api.server, api.selection.context, f"forward a port of pod {pod.metadata.name}")
    proof = await api.credentials.current()
    where = Kind.POD.path(pod.metadata.namespace, pod.metadata.name, "portforward")
    url = f"{api.server.replace('http', 'ws', 1)}{where}?ports={port}"
    server_name = api.selection.cluster.tls_server_name
    tls_options: dict[str, Any] = {"server_hostname": server_name} if server_name and proof.tls else {}
    connecting = asyncio.get_running_loop().create_task(
        ws_connect(
            lambda: _Channels(protocol, port),
            url,
            ssl_context=proof.tls,
            extra_headers={**proof.headers, "Sec-WebSocket-Protocol": PROTOCOL},
            websocket_handshake_timeout=HANDSHAKE_TIMEOUT,
            max_frame_size=FRAME_MAX,
            max_redirects=0,
            proxy=proxy_of(api.selection),
            logger_name=_LOG,
            **tls_options,
        )
    )
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT + HANDSHAKE_TIMEOUT):
            # picows leaves the connection open when it is cancelled, so it may finish, and is then abandoned.
            _, listener = await asyncio.shield(connecting)
    except asyncio.CancelledError:
        connecting.add_done_callback(_abandon)
        raise
    except TimeoutError as error:
        connecting.add_done_callback(_abandon)
        raise unreachable(error, question) from error
    except WSHandshakeError as error:
        raise _refused(error, question) from error
    except (OSError, WSError) as error:
        raise unreachable(error, question) from error
    return cast("_Channels", listener).carrier


def _abandon(connecting: asyncio.Task[tuple[WSTransport, WSListener]]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result()[0].disconnect(graceful=False)


def _refused(error: WSHandshakeError, question: Question) -> Exception:
    if error.response is None:
        return unreachable(error, question)
    return refusal(int(error.response.status), bytes(error.raw_body or b""), question)


class _Channels(WSListener):
    """Keeps the two channels apart: data goes to the protocol, the error text into the reason of the end."""

    def __init__(self, protocol: asyncio.Protocol, port: int) -> None:
        self._first = protocol
        self._port = port
        self._announced: set[int] = set()
        self._error = ""
        self.carrier: Carrier

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.carrier = Carrier(transport, self._first)
        self._first.connection_made(self.carrier)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type is WSMsgType.CLOSE:
            transport.disconnect()
            return
        if frame.msg_type is not WSMsgType.BINARY:
            return
        message = frame.get_payload_as_bytes()
        if not message or message[0] > _ERROR:
            self._end(transport, f"a message on channel {message[0] if message else 'none'}")
            return
        channel, data = message[0], message[1:]
        if channel not in self._announced:
            self._announced.add(channel)
            if data != self._port.to_bytes(2, "little"):
                self._end(transport, f"channel {channel} begins with {data[:16]!r} instead of port {self._port}")
        elif channel == _ERROR:
            self._end(transport, data.decode(errors="replace").strip())
        elif data:
            self.carrier.protocol.data_received(data)

    def _end(self, transport: WSTransport, reason: str) -> None:
        self._error = self._error or reason[:_ERROR_MAX]
        transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - picows' signature
        self.carrier.protocol.connection_lost(PortForwardClosed(self._error) if self._error else None)

    def pause_writing(self) -> None:
        self.carrier.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.carrier.protocol.resume_writing()


class Carrier(asyncio.Transport):
    """The data channel as a transport. Buffers and their limits are those of the TLS connection below.

    Attributes:
        protocol: Who is told.
    """

    def __init__(self, socket: WSTransport, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._socket = socket
        self._below = socket.underlying_transport
        self.protocol = protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """What the connection below knows, but for its socket: bytes written to that would not be framed."""
        return default if name == "socket" else self._below.get_extra_info(name, default)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Who is told."""
        return self.protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on ``protocol`` is told."""
        self.protocol = cast("asyncio.Protocol", protocol)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes on the data channel, a message for each ``PIECE``."""
        if self._socket.is_disconnected or self._below.is_closing():
            return  # as asyncio's transports: whoever writes has not been told yet
        for piece in _pieces(data):
            self._socket.send(WSMsgType.BINARY, b"".join((b"\x00", piece)))

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._socket.is_disconnected or self._below.is_closing()

    def is_reading(self) -> bool:
        """Whether data is passed on."""
        return self._below.is_reading()

    def pause_reading(self) -> None:
        """Read nothing more from the connection; what was read already still comes."""
        with contextlib.suppress(RuntimeError):
            self._below.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        with contextlib.suppress(RuntimeError):
            self._below.resume_reading()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait to be sent."""
        return self._below.get_write_buffer_size()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As asyncio's."""
        self._below.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        """No: a port-forward cannot be closed in one direction."""
        return False

    def close(self) -> None:
        """Send what waits, then end."""
        if not self.is_closing():
            self._socket.send_close()
            self._socket.disconnect(graceful=True)

    def abort(self) -> None:
        """End at once."""
        self._socket.disconnect(graceful=False)


def _pieces(data: bytes | bytearray | memoryview) -> Iterator[bytes | bytearray | memoryview]:
    if len(data) <= PIECE:
        yield data
        return
    view = memoryview(data)
    for start in range(0, len(view), PIECE):
        yield view[start : start + PIECE]
