"""The node: runs the pods that the API server hands it (``interface.Runtime``)."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Self

from kdev.sandbox.dns import NameServer, names_of
from kdev.sandbox.execution import Execution, execute, execute_in_terminal
from kdev.sandbox.interface import NodeEvents, Object, Service
from kdev.sandbox.mesh.control import Mesh
from kdev.sandbox.network import NODE_ADDRESS, POD_NETWORK, SERVICE_NETWORK, Network, NoAddressLeft
from kdev.sandbox.pod import Pod
from kdev.sandbox.pod_sandbox import PodSandbox
from kdev.sandbox.prober import Prober
from kdev.sandbox.service_rules import ServiceRules

REFRESH_VOLUMES_EVERY = 60.0
"""Seconds: a kubelet's ``syncFrequency``."""


class Kubelet:
    """The node of one sandbox; use ``async with``, which ends all pods when left.

    Args:
        directory: A private directory for the pods' files, which others may walk through but not list.
        mesh: Gives meshed pods their sidecar's rules, configuration and certificates.
        changed: Called when a pod, or what runs in it, has changed.
    """

    pod_network = str(POD_NETWORK)
    service_network = str(SERVICE_NETWORK)

    def __init__(self, directory: Path, mesh: Mesh, *, changed: Callable[[], None] = lambda: None) -> None:
        self._changed = changed
        self._directory = directory
        self._mesh = mesh
        self._network = Network()
        self._rules = ServiceRules(self._network.node)
        self._names = NameServer()
        self._prober = Prober(self._network.node)
        self._pods: dict[str, Pod] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._group = asyncio.TaskGroup()
        self._events: NodeEvents | None = None
        self._services: tuple[Service, ...] = ()

    async def __aenter__(self) -> Self:
        await self._names.serve(self._network.node)
        await self._group.__aenter__()
        self._group.create_task(self._mesh.renew_certificates())
        self._refreshing = self._group.create_task(self._refresh_volumes())
        return self

    async def __aexit__(self, *exception: object) -> None:
        async with asyncio.TaskGroup() as stopping:
            for uid in list(self._pods):
                stopping.create_task(self.stop_pod(uid, 1.0))
        self._mesh.close()
        self._refreshing.cancel()
        await self._group.__aexit__(None, None, None)
        self._names.close()
        self._rules.close()
        self._network.close()

    def report_to(self, events: NodeEvents) -> None:
        """From now on tell these events."""
        self._events = events

    def listen(self, port: int) -> socket.socket:
        """A listening socket at the node's address."""
        listening = self._network.node.socket(socket.AF_INET, socket.SOCK_STREAM)
        listening.bind((str(NODE_ADDRESS), port))
        listening.listen()
        return listening

    def pods(self) -> Sequence[Pod]:
        """All pods of the node."""
        return list(self._pods.values())

    # ---- pods

    async def start_pod(self, pod: Object) -> None:
        """Begin to run an admitted pod."""
        uid = pod["metadata"]["uid"]
        events = self._told()
        try:
            sandbox = PodSandbox(pod, self._network, self._directory, events.volume_files)
        except (NoAddressLeft, KeyError) as error:
            events.event(uid, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            return
        if pod["spec"].get("shareProcessNamespace"):
            await sandbox.share_processes()
        self._mesh.add(sandbox)
        self._pods[uid] = Pod(
            sandbox,
            watch=self._prober.watch,
            report=lambda status: self._report(uid, status),
            event=lambda kind, reason, message: events.event(uid, kind, reason, message),
        )
        self._running[uid] = self._group.create_task(self._pods[uid].run())

    async def update_pod(self, pod: Object) -> None:
        """Take over changed labels and annotations."""
        self._pods[pod["metadata"]["uid"]].sandbox.pod["metadata"].update(pod["metadata"])

    async def stop_pod(self, uid: str, grace_seconds: float) -> None:
        """End a pod and everything of it."""
        pod = self._pods[uid]
        await pod.stop(grace_seconds)
        running = self._running.pop(uid)
        running.cancel()
        await asyncio.wait([running])
        self._mesh.remove(pod.sandbox)
        self._pods.pop(uid, None)
        await pod.sandbox.close()
        self._changed()

    async def start_ephemeral_container(self, uid: str, container: Object) -> None:
        """Start one more container in a running pod."""
        self._pods[uid].add_ephemeral(container)

    # ---- what is done in a pod

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
        """A container's output."""
        found = self._pods[uid].find(container)
        return found.logs(follow=follow, tail_lines=tail_lines, previous=previous, timestamps=timestamps)

    async def exec(
        self, uid: str, container: str, command: Sequence[str], *, tty: bool = False, stdin: bool = False
    ) -> Execution:
        """Start a program in a running container.

        Raises:
            LaunchError: It cannot be executed.
        """
        found = self._pods[uid].find(container)
        start = execute_in_terminal if tty else execute
        return await start(found, command, stdin=stdin)

    async def connect(self, uid: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to a port on the pod's loopback, IPv4 before IPv6 as containerd does."""
        namespace = self._pods[uid].sandbox.link.namespace
        loop = asyncio.get_running_loop()
        last: OSError = OSError("nothing tried")
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            connection = namespace.socket(family, socket.SOCK_STREAM)
            try:
                await loop.sock_connect(connection, (address, port))
            except OSError as error:
                connection.close()
                last = error
                continue
            return await asyncio.open_connection(sock=connection)
        raise last

    # ---- services

    def set_services(self, services: Sequence[Service]) -> None:
        """Replace all services."""
        wanted = tuple(services)
        if wanted == self._services:
            return
        self._services = wanted
        self._rules.replace(wanted)
        self._names.names = names_of(wanted)
        self._mesh.set_services(wanted)

    async def _refresh_volumes(self) -> None:
        """Bring every pod's files up to date from time to time, renewed tokens among them."""
        while True:
            await asyncio.sleep(REFRESH_VOLUMES_EVERY)
            for pod in self.pods():
                pod.sandbox.refresh_volumes()

    def _report(self, uid: str, status: Object) -> None:
        self._told().pod_status(uid, status)
        self._changed()

    def _told(self) -> NodeEvents:
        assert self._events is not None, "report_to comes before the first pod"
        return self._events
