"""Port-forward: the client's streams to ports inside a pod, in the three ways that clients speak it.

WebSocket ``v4.channel.k8s.io`` has two channels per port, data and error, each of which starts with the port's number;
it ends without a close frame when the pod's side has ended, as a kubelet's does. SPDY has a pair of streams per
connection, and travels directly or inside a WebSocket (``SPDY/3.1+portforward.k8s.io``).
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Final, cast

from aiohttp import web

from kdev.sandbox.api import statuses
from kdev.sandbox.api.streaming import spdy_link, web_socket_link
from kdev.sandbox.api.streaming.connection import Link, UpgradedConnection
from kdev.sandbox.api.streaming.spdy_link import SpdySession, SpdyStream
from kdev.sandbox.api.streaming.web_socket_link import WebSocketLink
from kdev.sandbox.interface import Object, Runtime
from kdev.tunnel.half_close import half_close

CHANNELS: Final = "v4.channel.k8s.io"
TUNNELLED: Final = "SPDY/3.1+portforward.k8s.io"
_SPDY: Final = "portforward.k8s.io"
_READ: Final = 1 << 18
"""Bytes read from the pod at once: fewer and larger writes for bulk, one small write for a small answer."""
_MOST_PORTS: Final = 100
"""Ports in one WebSocket: channel numbers are one byte, two of them a port."""


@dataclass(frozen=True, slots=True)
class _Wire:
    """How one forwarded connection reaches the client."""

    link: Link
    write: Callable[[bytes], None]
    fail: Callable[[str], None]


class _Forward:
    """One TCP connection into the pod; the client's bytes may arrive before it stands."""

    def __init__(self, node: Runtime, uid: str, port: int, wire: _Wire) -> None:
        self._node = node
        self._uid = uid
        self._port = port
        self._wire = wire
        self._early: list[bytes | memoryview] = []
        self._writer: asyncio.StreamWriter | None = None
        self._ended = False
        self._full = asyncio.Event()

    def receive(self, data: bytes | memoryview) -> None:
        """Send the client's bytes on; when the pod is slow, the client is read no further."""
        if self._writer is None:
            self._early.append(data)
            self._wire.link.pause()
            return
        if self._writer.is_closing():
            return
        self._writer.write(data)
        self._pause_when_full(self._writer.transport)

    def end(self) -> None:
        """The client sends no more."""
        self._ended = True
        if self._writer is not None:
            half_close(cast("asyncio.Transport", self._writer.transport))

    async def run(self) -> None:
        """Connect, and carry bytes until the pod's side has ended."""
        try:
            reader, writer = await self._node.connect(self._uid, self._port)
        except (OSError, KeyError) as error:
            self._wire.fail(f"error forwarding port {self._port} to pod {self._uid}, uid : {error}")
            return
        finally:
            early, self._early = self._early, []
            for _ in early:
                self._wire.link.resume()
        self._writer = writer
        for data in early:
            self.receive(data)
        if self._ended:
            self.end()
        throttle = asyncio.create_task(self._throttle(writer), name=f"port-forward {self._port}")
        try:
            await self._carry_answers(reader)
        finally:
            throttle.cancel()
            if self._full.is_set():
                self._wire.link.resume()
            writer.transport.abort()

    async def _carry_answers(self, reader: asyncio.StreamReader) -> None:
        link, write = self._wire.link, self._wire.write
        try:
            while data := await reader.read(_READ):
                write(data)
                await link.drain()
        except OSError as error:
            self._wire.fail(f"error forwarding port {self._port} to pod {self._uid}, uid : {error}")

    def _pause_when_full(self, transport: asyncio.WriteTransport) -> None:
        if not self._full.is_set() and transport.get_write_buffer_size() > transport.get_write_buffer_limits()[1]:
            self._full.set()
            self._wire.link.pause()

    async def _throttle(self, writer: asyncio.StreamWriter) -> None:
        """Read the client again whenever the pod has caught up."""
        while True:
            await self._full.wait()
            try:
                await writer.drain()
            except OSError:
                return  # the reader sees the same end, and its side resumes the client
            self._full.clear()
            self._wire.link.resume()


async def serve(request: web.Request, node: Runtime, pod: Object) -> None:
    """Serve one port-forward request to its end.

    Raises:
        Refusal: The request asks for no protocol that the sandbox speaks, or for no port.
    """
    uid = pod["metadata"]["uid"]
    if spdy_link.is_spdy(request):
        _, connection = spdy_link.accept(request, (_SPDY,))
        await _serve_spdy(node, uid, connection, connection)
    elif web_socket_link.is_websocket(request):
        ports = _ports(request)
        protocol, link = web_socket_link.accept(request, (CHANNELS, TUNNELLED))
        if protocol == TUNNELLED:
            await _serve_spdy(node, uid, link, link.connection)
        else:
            await _serve_channels(node, uid, link, ports)
    else:
        raise statuses.bad_request("Upgrade request required")


def _ports(request: web.Request) -> list[int]:
    texts = [text for value in request.query.getall("ports", []) for text in value.split(",")]
    try:
        ports = [int(text) for text in texts]
    except ValueError as error:
        raise statuses.bad_request(f"unable to parse the ports {texts}") from error
    wants_channels = TUNNELLED not in request.headers.get("Sec-WebSocket-Protocol", "")
    if (wants_channels and not ports) or len(ports) > _MOST_PORTS or any(not 0 < port < 65536 for port in ports):
        raise statuses.bad_request(f'query parameter "ports" needs 1 to {_MOST_PORTS} ports between 1 and 65535')
    return ports


async def _serve_channels(node: Runtime, uid: str, link: WebSocketLink, ports: list[int]) -> None:
    """Serve ``v4.channel.k8s.io``: one TCP connection per port and WebSocket."""
    forwards = [_Forward(node, uid, port, _channel_wire(link, index)) for index, port in enumerate(ports)]

    def receive(message: bytes) -> None:
        # Channels with odd numbers are for errors, which the client never sends.
        if message and not message[0] & 1 and message[0] >> 1 < len(forwards):
            forwards[message[0] >> 1].receive(memoryview(message)[1:])

    link.receive = receive
    for index, port in enumerate(ports):
        for channel in (2 * index, 2 * index + 1):
            link.write(bytes((channel,)) + port.to_bytes(2, "little"))
    async with asyncio.TaskGroup() as tasks:
        for forward in forwards:
            link.connection.when_closed(tasks.create_task(forward.run()).cancel)
    link.connection.close()


def _channel_wire(link: WebSocketLink, index: int) -> _Wire:
    data, error = bytes((2 * index,)), bytes((2 * index + 1,))
    return _Wire(link, lambda payload: link.write(data + payload), lambda text: link.write(error + text.encode()))


async def _serve_spdy(
    node: Runtime, uid: str, link: WebSocketLink | UpgradedConnection, connection: UpgradedConnection
) -> None:
    """Serve pairs of SPDY streams, any number of them, until the client closes the connection."""
    async with asyncio.TaskGroup() as tasks:
        errors: dict[str, SpdyStream] = {}
        running: set[asyncio.Task[None]] = set()

        def opened(stream: SpdyStream) -> None:
            request_id = stream.headers.get("requestid", "")
            port = stream.headers.get("port", "")
            if stream.headers.get("streamtype") == "error":
                errors[request_id] = stream
            elif request_id in errors and port.isdecimal() and 0 < int(port) < 65536:
                task = tasks.create_task(_pair(node, uid, int(port), stream, errors.pop(request_id)))
                running.add(task)
                task.add_done_callback(running.discard)
            else:
                stream.reset()

        session = SpdySession(link, opened)
        link.receive = session.receive
        await connection.closed.wait()
        for task in running:
            task.cancel()


def _pair(node: Runtime, uid: str, port: int, data: SpdyStream, error: SpdyStream) -> Coroutine[None, None, None]:
    """Serve one forwarded connection: its bytes on one stream, what went wrong on the other.

    The stream is listened to at once, not only when the returned coroutine runs: its first bytes may be in the same
    message.
    """
    forward = _Forward(node, uid, port, _Wire(data.link, data.write, lambda text: error.write(text.encode())))
    data.receive = forward.receive
    data.ended = forward.end

    async def carry() -> None:
        await forward.run()
        data.finish()
        error.finish()

    return carry()
