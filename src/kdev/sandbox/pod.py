"""One pod's life on the node: its sandbox, its containers in Kubernetes' order, its status, its end."""

import asyncio
from collections.abc import Callable, Iterable

from kdev.sandbox.container import Container, Watch
from kdev.sandbox.interface import Object
from kdev.sandbox.network import NODE_ADDRESS
from kdev.sandbox.pod_sandbox import PodSandbox
from kdev.sandbox.records import timestamp

SIDECAR_GRACE = 2.0
"""Seconds for native sidecars, which end after all others and have nobody left to serve."""


class Pod:
    """A pod whose sandbox exists.

    Args:
        sandbox: What its containers share.
        watch: Runs a container's probes.
        report: Takes the pod's whole status when it has changed.
        event: Takes kind, reason and message.
    """

    def __init__(
        self,
        sandbox: PodSandbox,
        *,
        watch: Watch,
        report: Callable[[Object], None],
        event: Callable[[str, str, str], None],
    ) -> None:
        self.sandbox = sandbox
        self._spec: Object = sandbox.pod["spec"]
        self._watch = watch
        self._report = report
        self._event = event
        self._started_at = timestamp()
        self._initialized = False
        self._changed = asyncio.Event()
        self._ephemeral_added: asyncio.Queue[Container] = asyncio.Queue()
        self.init_containers = [self._container(spec) for spec in self._spec.get("initContainers", ())]
        self.containers = [self._container(spec) for spec in self._spec["containers"]]
        self.ephemeral_containers: list[Container] = []

    def find(self, name: str) -> Container:
        """The container of that name.

        Raises:
            KeyError: There is none.
        """
        for container in self._all():
            if container.spec["name"] == name:
                return container
        raise KeyError(name)

    async def run(self) -> None:
        """Run all containers until cancelled or, by the restart policy, none will run again."""
        policy = self._spec.get("restartPolicy", "Always")
        async with asyncio.TaskGroup() as group:
            ephemeral = group.create_task(self._run_ephemeral(group))
            for container in self.init_containers:
                if _is_sidecar(container):
                    group.create_task(container.supervise("Always"))
                    await self._until_started(container)
                else:
                    await container.supervise("Never" if policy == "Never" else "OnFailure")
                    if container.record.exit_code != 0:
                        ephemeral.cancel()
                        return
            self._initialized = True
            async with asyncio.TaskGroup() as ordinary:
                for container in self.containers:
                    ordinary.create_task(container.supervise(policy))
            for container in self.init_containers:
                await container.stop(SIDECAR_GRACE)
            ephemeral.cancel()
            self._publish()

    def add_ephemeral(self, spec: Object) -> None:
        """Start one more container.

        Raises:
            KeyError: ``targetContainerName`` names no container.
        """
        target = self.find(spec["targetContainerName"]) if spec.get("targetContainerName") else None
        container = self._container(spec, target)
        container.record.wait("ContainerCreating")
        self.ephemeral_containers.append(container)
        self._ephemeral_added.put_nowait(container)
        self._publish()

    async def stop(self, grace_seconds: float) -> None:
        """End the ordinary containers, then the sidecars."""
        async with asyncio.TaskGroup() as group:
            for container in (*self.containers, *self.ephemeral_containers):
                group.create_task(container.stop(grace_seconds))
        async with asyncio.TaskGroup() as group:
            for container in self.init_containers:
                group.create_task(container.stop(min(grace_seconds, SIDECAR_GRACE)))

    def status(self) -> Object:
        """The pod's status (PodStatus v1 core)."""
        return {
            "phase": self._phase(),
            "conditions": _conditions(initialized=self._initialized, ready=self.is_ready(), since=self._started_at),
            "hostIP": str(NODE_ADDRESS),
            "podIP": self.sandbox.ip,
            "podIPs": [{"ip": self.sandbox.ip}],
            "startTime": self._started_at,
            "qosClass": "BestEffort",
            "initContainerStatuses": _statuses(self.init_containers),
            "containerStatuses": _statuses(self.containers),
            "ephemeralContainerStatuses": _statuses(self.ephemeral_containers),
        }

    def is_ready(self) -> bool:
        """Whether services may lead to it: all containers that stay are ready."""
        sidecars = [container for container in self.init_containers if _is_sidecar(container)]
        return self._initialized and all(container.record.ready for container in (*sidecars, *self.containers))

    def processes(self) -> list[tuple[str, int, bool]]:
        """Name, pid and whether it is ephemeral, of each running container."""
        return [
            (container.spec["name"], container.process.pid, container in self.ephemeral_containers)
            for container in self._all()
            if container.process is not None
        ]

    def _phase(self) -> str:
        codes = [container.record.exit_code for container in self.containers]
        if self._spec.get("restartPolicy", "Always") != "Always" and all(code is not None for code in codes):
            return "Failed" if any(codes) else "Succeeded"
        begun = any("waiting" not in c.record.state or c.record.last_state for c in self.containers)
        return "Running" if begun else "Pending"

    async def _run_ephemeral(self, group: asyncio.TaskGroup) -> None:
        while True:
            container = await self._ephemeral_added.get()
            group.create_task(container.supervise("Never"))

    async def _until_started(self, container: Container) -> None:
        while not container.record.started:
            await self._changed.wait()

    def _publish(self) -> None:
        self._report(self.status())
        self._changed.set()
        self._changed = asyncio.Event()

    def _container(self, spec: Object, target: Container | None = None) -> Container:
        return Container(self.sandbox, spec, watch=self._watch, report=self._publish, event=self._event, target=target)

    def _all(self) -> Iterable[Container]:
        return (*self.init_containers, *self.containers, *self.ephemeral_containers)


def _is_sidecar(container: Container) -> bool:
    """A native sidecar: an init container that stays (Kubernetes 1.29)."""
    return container.spec.get("restartPolicy") == "Always"


def _statuses(containers: Iterable[Container]) -> list[Object]:
    return [container.record.to_status() for container in containers]


def _conditions(*, initialized: bool, ready: bool, since: str) -> list[Object]:
    facts = {
        "PodReadyToStartContainers": True,
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": True,
    }
    return [{"type": name, "status": str(fact), "lastTransitionTime": since} for name, fact in facts.items()]
