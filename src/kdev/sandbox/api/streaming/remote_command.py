"""exec and attach: a program's standard streams, over WebSocket channels or SPDY streams.

Channels and their order are those of k8s.io/apimachinery/pkg/util/remotecommand: 0 stdin, 1 stdout, 2 stderr,
3 the final ``Status``, 4 terminal sizes; v5 adds 255, which closes another channel (its number is the payload).
"""

import asyncio
import contextlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from kdev.sandbox.api import statuses
from kdev.sandbox.api.streaming import spdy_link, web_socket_link
from kdev.sandbox.api.streaming.connection import Link, UpgradedConnection
from kdev.sandbox.api.streaming.spdy_link import SpdySession, SpdyStream
from kdev.sandbox.api.streaming.web_socket_link import WebSocketLink
from kdev.sandbox.interface import ContainerNotRunning, ExecProcess, Object, Runtime

_PROTOCOLS: Final = ("v5.channel.k8s.io", "v4.channel.k8s.io")
_SPDY_PROTOCOLS: Final = ("v4.channel.k8s.io",)
_STDIN, _STDOUT, _STDERR, _ERROR, _RESIZE, _CLOSE = 0, 1, 2, 3, 4, 255
_STREAM_TYPES: Final = {"stdin": _STDIN, "stdout": _STDOUT, "stderr": _STDERR, "error": _ERROR, "resize": _RESIZE}
_READ: Final = 1 << 16
_STREAMS_WITHIN: Final = 30.0
"""Seconds for a SPDY client to open the streams it asked for (kubelet's default stream creation timeout)."""


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """What the query asks for (``PodExecOptions``).

    Attributes:
        container: Which container.
        command: Program and arguments.
        stdin: Whether input is sent.
        stdout: Whether output is wanted.
        stderr: Whether errors are wanted.
        tty: Whether there is a terminal, and then no stderr.
    """

    container: str
    command: tuple[str, ...]
    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @property
    def channels(self) -> frozenset[int]:
        """The channels that a client opens for these."""
        wanted = {_STDIN: self.stdin, _STDOUT: self.stdout, _STDERR: self.stderr and not self.tty, _RESIZE: self.tty}
        return frozenset({_ERROR, *(channel for channel, asked in wanted.items() if asked)})


class _Channels:
    """The channels of one client, whatever carries them."""

    def __init__(self, link: Link, connection: UpgradedConnection) -> None:
        self.link = link
        self.connection = connection
        self.send: Callable[[int, bytes], None] = lambda _channel, _data: None
        self.finish: Callable[[], None] = lambda: None
        self._process: ExecProcess | None = None
        self._early: list[tuple[int, bytes]] = []

    def receive(self, channel: int, data: bytes) -> None:
        """Take what the client sent; an empty piece of stdin is its end."""
        if self._process is None:
            self._early.append((channel, data))
            self.link.pause()
        elif channel == _STDIN and self._process.stdin is not None:
            if data:
                self._process.stdin.write(data)
            else:
                self._process.stdin.close()
        elif channel == _RESIZE:
            _resize(self._process, data)

    def attach(self, process: ExecProcess) -> None:
        """Let the process have what came before it ran, and all that comes."""
        self._process = process
        early, self._early = self._early, []
        for channel, data in early:
            self.receive(channel, data)
            self.link.resume()


async def serve(request: web.Request, node: Runtime, pod: Object, options: ExecOptions) -> None:
    """Serve one exec request to its end.

    Raises:
        Refusal: The request asks for no protocol that the sandbox speaks, or the container does not run.
    """
    _require_running(pod, options.container)
    if spdy_link.is_spdy(request):
        _, connection = spdy_link.accept(request, _SPDY_PROTOCOLS)
        channels = await _spdy_channels(connection, options)
    elif web_socket_link.is_websocket(request):
        _, link = web_socket_link.accept(request, _PROTOCOLS)
        channels = _web_socket_channels(link)
    else:
        raise statuses.bad_request("Upgrade request required")
    status = await _run(node, pod["metadata"]["uid"], options, channels)
    channels.send(_ERROR, json.dumps(status).encode())
    channels.finish()


def _require_running(pod: Object, container: str) -> None:
    status = pod.get("status", {})
    kinds = ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
    running = [item["name"] for kind in kinds for item in status.get(kind) or () if "running" in item.get("state", {})]
    if container not in running:
        raise statuses.Refusal(
            500,
            "InternalError",
            f'Internal error occurred: unable to upgrade connection: container not found ("{container}")',
        )


def _web_socket_channels(link: WebSocketLink) -> _Channels:
    channels = _Channels(link, link.connection)
    channels.send = lambda channel, data: link.write(bytes((channel,)) + data)
    channels.finish = link.close

    def receive(message: bytes) -> None:
        if message and message[0] == _CLOSE:
            channels.receive(message[1] if len(message) > 1 else _CLOSE, b"")
        elif len(message) > 1:
            channels.receive(message[0], message[1:])

    link.receive = receive
    return channels


async def _spdy_channels(connection: UpgradedConnection, options: ExecOptions) -> _Channels:
    """Wait until the client has opened every stream that it asked for."""
    streams: dict[int, SpdyStream] = {}
    complete = asyncio.Event()
    channels = _Channels(connection, connection)

    def opened(stream: SpdyStream) -> None:
        channel = _STREAM_TYPES.get(stream.headers.get("streamtype", ""))
        if channel is None:
            stream.reset()
            return
        streams[channel] = stream
        stream.receive = lambda data: channels.receive(channel, data)
        stream.ended = lambda: channels.receive(channel, b"")
        if streams.keys() >= options.channels:
            complete.set()

    session = SpdySession(connection, opened)
    connection.receive = session.receive
    connection.when_closed(complete.set)
    async with asyncio.timeout(_STREAMS_WITHIN):
        await complete.wait()

    def send(channel: int, data: bytes) -> None:
        if channel in streams:
            streams[channel].write(data)

    def finish() -> None:
        for stream in streams.values():
            stream.finish()
        connection.close()

    channels.send, channels.finish = send, finish
    return channels


async def _run(node: Runtime, uid: str, options: ExecOptions, channels: _Channels) -> Object:
    """Run the program until it has ended or the client has gone; returns the final ``Status``."""
    try:
        process = await node.exec(uid, options.container, options.command, tty=options.tty, stdin=options.stdin)
    except (OSError, KeyError, ContainerNotRunning) as error:
        return _failure("InternalError", f"error executing command in container: {error}", [])
    channels.connection.when_closed(process.kill)
    channels.attach(process)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_copy(process.stdout, _STDOUT, channels))
        if process.stderr is not None:
            tasks.create_task(_copy(process.stderr, _STDERR, channels))
        code = await process.wait()
    return _exit_status(code)


async def _copy(reader: asyncio.StreamReader, channel: int, channels: _Channels) -> None:
    while data := await reader.read(_READ):
        channels.send(channel, data)
        await channels.link.drain()


def _resize(process: ExecProcess, data: bytes) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError):  # a size that is none changes nothing
        size = json.loads(data)
        process.resize(int(size["Width"]), int(size["Height"]))


def _exit_status(code: int) -> Object:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    message = f"command terminated with non-zero exit code: error executing command in container: exit status {code}"
    return _failure("NonZeroExitCode", message, [{"reason": "ExitCode", "message": str(code)}])


def _failure(reason: str, message: str, causes: list[Object]) -> Object:
    status: Object = {"metadata": {}, "status": "Failure", "reason": reason, "message": message}
    return status | ({"details": {"causes": causes}} if causes else {})
