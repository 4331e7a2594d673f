"""A node without processes: pods run at once, and their ports and programs are what the test says."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from kdev.sandbox.interface import ContainerNotRunning, NodeEvents, Object, Service

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FakeProcess:
    """A program that is a function: of its input comes its output and exit code."""

    def __init__(self, stdout: asyncio.StreamReader, stderr: asyncio.StreamReader | None) -> None:
        self.stdin: Any = None
        self.stdout = stdout
        self.stderr = stderr
        self.code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.sizes: list[tuple[int, int]] = []
        self.killed = False

    def resize(self, columns: int, rows: int) -> None:
        """Remember the size."""
        self.sizes.append((columns, rows))

    async def wait(self) -> int:
        """The exit code."""
        return await self.code

    def kill(self) -> None:
        """End it."""
        self.killed = True
        if not self.code.done():
            self.code.set_result(137)
            self.stdout.feed_eof()
            if self.stderr is not None:
                self.stderr.feed_eof()


class Stdin:
    """What a test's program reads: echoed to its output until it is closed."""

    def __init__(self, process: FakeProcess) -> None:
        self._process = process

    def write(self, data: bytes) -> None:
        """Echo."""
        self._process.stdout.feed_data(data)

    def close(self) -> None:
        """End of input: the program ends."""
        self._process.stdout.feed_eof()
        if self._process.stderr is not None:
            self._process.stderr.feed_eof()
        self._process.code.set_result(0)


class FakeNode:
    """Satisfies ``kdev.sandbox.interface.Node`` in memory."""

    pod_network = "10.244.0.0/16"
    service_network = "10.96.0.0/16"

    def __init__(self) -> None:
        self.events: NodeEvents | None = None
        self.pods: dict[str, Object] = {}
        self.ports: dict[int, tuple[str, int]] = {}
        self.services: list[Service] = []
        self.calls: list[tuple[str, str]] = []
        self.hold_stop = asyncio.Event()
        self.hold_stop.set()
        self.ready = True
        self._next = 10

    def report_to(self, events: NodeEvents) -> None:
        """Remember whom to tell."""
        self.events = events

    def listen(self, port: int) -> socket.socket:
        """On loopback, whatever port is free."""
        return socket.create_server(("127.0.0.1", 0))

    async def start_pod(self, pod: Object) -> None:
        """Run it at once."""
        uid = pod["metadata"]["uid"]
        self.calls.append(("start", pod["metadata"]["name"]))
        self.pods[uid] = pod
        self._next += 1
        self.report(uid, ip=f"10.244.0.{self._next}")

    def report(self, uid: str, *, ip: str) -> None:
        """Report the pod as running."""
        assert self.events is not None
        pod = self.pods[uid]
        state = {"running": {"startedAt": "2026-01-01T00:00:00Z"}}
        containers = [
            {"name": item["name"], "ready": self.ready, "restartCount": 0, "state": state, "image": item["image"]}
            for item in pod["spec"]["containers"]
        ]
        ephemeral = [
            {"name": item["name"], "ready": False, "restartCount": 0, "state": state, "image": item["image"]}
            for item in pod["spec"].get("ephemeralContainers", ())
        ]
        status = {
            "phase": "Running",
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "hostIP": "127.0.0.1",
            "conditions": [{"type": "Ready", "status": str(self.ready)}],
            "containerStatuses": containers,
        }
        self.events.pod_status(uid, status | ({"ephemeralContainerStatuses": ephemeral} if ephemeral else {}))
        self.events.event(uid, "Normal", "Started", "Started container")

    async def update_pod(self, pod: Object) -> None:
        """Remember the call."""
        self.calls.append(("update", pod["metadata"]["name"]))

    async def stop_pod(self, uid: str, grace_seconds: float) -> None:
        """Wait until the test lets it go."""
        self.calls.append(("stop", uid))
        await self.hold_stop.wait()
        del self.pods[uid]

    async def start_ephemeral_container(self, uid: str, container: Object) -> None:
        """Run it at once."""
        pod = self.pods[uid]
        self.calls.append(("ephemeral", container["name"]))
        pod["spec"].setdefault("ephemeralContainers", []).append(container)
        self.report(uid, ip="10.244.0.9")

    async def logs(
        self,
        uid: str,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
    ) -> AsyncIterator[bytes]:
        """Three lines."""
        if previous:
            raise ContainerNotRunning
        lines = [b"one\n", b"two\n", b"three\n"]
        for line in lines if tail_lines is None else lines[-tail_lines:]:
            yield line

    async def exec(
        self, uid: str, container: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> FakeProcess:
        """Print the arguments, or echo the input."""
        process = FakeProcess(asyncio.StreamReader(), None if tty else asyncio.StreamReader())
        if stdin:
            process.stdin = Stdin(process)
            return process
        process.stdout.feed_data(b" ".join(item.encode() for item in command[1:]) + b"\n")
        process.stdout.feed_eof()
        if process.stderr is not None:
            process.stderr.feed_data(b"grumble\n")
            process.stderr.feed_eof()
        process.code.set_result(7 if command[0] == "false" else 0)
        return process

    async def connect(self, uid: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to what the test serves."""
        if port not in self.ports:
            raise ConnectionRefusedError(f"dial tcp4 127.0.0.1:{port}: connect: connection refused")
        return await asyncio.open_connection(*self.ports[port])

    def set_services(self, services: Sequence[Service]) -> None:
        """Remember them."""
        self.services = list(services)
