"""What the sandbox's API server and its node say to each other.

The API server (``kdev.sandbox.api``) owns the objects; the node (``kdev.sandbox.kubelet``) owns processes, networks and
the mesh. Objects cross this line as Kubernetes JSON (``dict``), because that is what both sides are specified by.
Both live on one asyncio loop in one process.

Order of calls: the API server admits a pod (``kdev.sandbox.mesh.injection.inject`` stands where a mesh's admission
webhook would), stores it, and calls ``start_pod``. From then on the node reports the pod's whole ``status`` by
``NodeEvents.pod_status`` until ``stop_pod`` has returned, after which the API server removes the object.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

Object = dict[str, Any]
"""A Kubernetes object, or a part of one, as JSON."""


class NodeEvents(Protocol):
    """What the node tells the API server; called on the loop, must not block."""

    def pod_status(self, uid: str, status: Object) -> None:
        """The pod's complete new ``status``: phase, podIP, podIPs, hostIP, conditions and all containerStatuses."""
        ...

    def event(self, uid: str, kind: str, reason: str, message: str) -> None:
        """An Event about the pod; ``kind`` is ``Normal`` or ``Warning``, ``reason`` as a kubelet's (``Started``)."""
        ...

    def volume_files(self, uid: str, volume: Object) -> dict[str, bytes]:
        """The files of one ``configMap``, ``secret``, ``downwardAPI`` or ``projected`` volume, by relative path.

        Asked again later it answers with what they are then: tokens are renewed in time.

        Raises:
            KeyError: What the volume refers to does not exist (and is not optional).
        """
        ...


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a service.

    Attributes:
        name: The port's name; empty when it has none.
        port: The port at the service's address.
        protocol: ``TCP`` or ``UDP``.
        app_protocol: ``appProtocol`` of the port; empty when not given.
        endpoints: Address and port of every ready pod behind it, target ports already resolved.
    """

    name: str
    port: int
    protocol: str
    app_protocol: str
    endpoints: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Service:
    """A service as the node needs it.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        cluster_ip: Its address out of the service network; empty for a headless service.
        ports: Its ports.
        retries: Whether callers' sidecars repeat failed requests, by the mesh's default.
    """

    namespace: str
    name: str
    cluster_ip: str
    ports: tuple[ServicePort, ...]
    retries: bool = True


class Input(Protocol):
    """A program's standard input."""

    def write(self, data: bytes | memoryview, /) -> None:
        """Send bytes; never blocks."""
        ...

    def close(self) -> None:
        """End of input."""
        ...


class ExecProcess(Protocol):
    """A program started in a running container.

    Attributes:
        stdin: Where its input is written; closing it is end of input. None when not asked for.
        stdout: Its output; with a terminal, everything.
        stderr: Its errors; None with a terminal.
    """

    stdin: Input | None
    stdout: asyncio.StreamReader
    stderr: asyncio.StreamReader | None

    def resize(self, columns: int, rows: int) -> None:
        """Set the terminal's size; without a terminal nothing happens."""
        ...

    async def wait(self) -> int:
        """The exit code; 128 + the signal's number when a signal ended it."""
        ...

    def kill(self) -> None:
        """End it now, with SIGKILL."""
        ...


class Runtime(Protocol):
    """The node as the API server drives it.

    Raises ``KeyError`` for a pod or container that the node does not have and ``ContainerNotRunning`` where a running
    container is needed.
    """

    pod_network: str
    service_network: str

    def listen(self, port: int) -> socket.socket:
        """A listening socket that pods reach at the address it is bound to."""
        ...

    async def start_pod(self, pod: Object) -> None:
        """Begin to run an admitted pod; returns once the node has taken it over, not when it runs."""
        ...

    async def update_pod(self, pod: Object) -> None:
        """Take over changed labels and annotations; containers of a pod never change."""
        ...

    async def stop_pod(self, uid: str, grace_seconds: float) -> None:
        """SIGTERM, SIGKILL after the grace period; returns when no process and no namespace of the pod is left."""
        ...

    async def start_ephemeral_container(self, uid: str, container: Object) -> None:
        """Start one more container; ``targetContainerName`` in its spec names whose process namespace it joins."""
        ...

    def logs(
        self,
        uid: str,
        container: str,
        *,
        follow: bool = False,
        tail_lines: int | None = None,
        previous: bool = False,
        timestamps: bool = False,
    ) -> AsyncIterator[bytes]:
        """The container's output, in pieces that end with a line's end; with ``follow`` until the container ends.

        Raises:
            ContainerNotRunning: ``previous`` was asked for and there was no earlier run, or it has not started yet.
        """
        ...

    async def exec(
        self, uid: str, container: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> ExecProcess:
        """Start a program in a running container, with the container's user, capabilities and environment."""
        ...

    async def connect(self, uid: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to 127.0.0.1, then ::1, inside the pod's network namespace, as containerd's port-forward does.

        Raises:
            OSError: Nobody listens there, with the message of the last attempt.
        """
        ...

    def set_services(self, services: Sequence[Service]) -> None:
        """Replace all services: addresses, names, the mesh's routes. Cheap to call again with the same."""
        ...


class ContainerNotRunning(RuntimeError):  # noqa: N818 - a state, which the API server answers with 400
    """The container has not started, or has ended."""


class ApiServer(Protocol):
    """How the sandbox's process runs the API server: ``kdev.sandbox.api.serve`` has this shape."""

    def __call__(self, node: "Node", directory: Path) -> AbstractAsyncContextManager[Path]:
        """Serve on 127.0.0.1 until left; keys and the kubeconfig are written below ``directory``.

        The context's value is the kubeconfig's path. The server passes its ``NodeEvents`` to ``node.report_to``
        before it starts a pod. Leaving ends open streams; stopping the pods is the caller's part.
        """
        ...


class Node(Runtime, Protocol):
    """A runtime that can be told where to report."""

    def report_to(self, events: NodeEvents) -> None:
        """From now on tell these events; called once, before the first pod."""
        ...
