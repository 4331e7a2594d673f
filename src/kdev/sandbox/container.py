"""One container of a pod through all its runs: start, probes, end, back-off, start again."""

import asyncio
import contextlib
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from kdev.sandbox.capabilities import to_drop
from kdev.sandbox.environment import arguments, environment
from kdev.sandbox.images import Image, find_image
from kdev.sandbox.interface import ContainerNotRunning, Object
from kdev.sandbox.logs import Log
from kdev.sandbox.namespaces import Namespace
from kdev.sandbox.output import Output
from kdev.sandbox.plans import Files, Identity, Plan
from kdev.sandbox.pod_sandbox import PodSandbox, UnknownVolume
from kdev.sandbox.processes import LaunchError, Process, launch
from kdev.sandbox.records import Record
from kdev.sandbox.restarts import BackOff, restarts
from kdev.sandbox.security import ForbiddenIdentity, identity
from kdev.sandbox.syscalls import Clone

Report = Callable[[], None]
Event = Callable[[str, str, str], None]
Watch = Callable[["Container"], Coroutine[None, None, None]]
"""Probes the container while it runs; cancelled when it ends."""

RETRY_IMAGE_AFTER = 10.0
"""Seconds; a kubelet doubles from there, but here an image never appears, so the rhythm does not matter."""

_LAST_CAPABILITY = int(Path("/proc/sys/kernel/cap_last_cap").read_text(encoding="ascii"))


class Container:
    """A container of a pod.

    Args:
        sandbox: What it shares with the pod's other containers.
        spec: Its part of the pod's spec.
        watch: Runs its probes.
        report: Called when its record has changed.
        event: Called with kind, reason and message.
        target: The container whose process namespace an ephemeral container joins.
    """

    def __init__(
        self,
        sandbox: PodSandbox,
        spec: Object,
        *,
        watch: Watch,
        report: Report,
        event: Event,
        target: "Container | None" = None,
    ) -> None:
        self.sandbox = sandbox
        self.spec = spec
        self.record = Record(spec["name"], spec["image"])
        self.process: Process | None = None
        self.report = report
        self.event = event
        self._watch = watch
        self._target = target
        self._log: Log | None = None
        self._previous_log: Log | None = None
        self._stopping = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._plan: Plan | None = None

    async def supervise(self, policy: str) -> None:
        """Run it as often as the policy says; returns when it will not run again."""
        back_off = BackOff()
        while not self._stopping.is_set():
            image = await self._await_image()
            if image is None:
                return
            begun = time.monotonic()
            self._idle.clear()
            try:
                code = await self._run(image)
            finally:
                self._idle.set()
            if self._stopping.is_set() or not restarts(policy, code):
                return
            delay, back_off = back_off.delay, back_off.after(time.monotonic() - begun)
            await self._back_off(delay)

    async def stop(self, grace_seconds: float) -> None:
        """SIGTERM, after the grace period SIGKILL; returns when no process is left, and none starts again."""
        self._stopping.set()
        await self.kill(grace_seconds)
        await self._idle.wait()

    async def kill(self, grace_seconds: float) -> None:
        """End this run, as a failed liveness probe does; the policy decides what follows."""
        if self.process is not None:
            await self.process.end(grace_seconds)

    def logs(self, *, follow: bool, tail_lines: int | None, previous: bool, timestamps: bool) -> AsyncIterator[bytes]:
        """Lines of this run's log, or of the run before."""
        log = self._previous_log if previous else self._log
        if log is None:
            which = "previous terminated container" if previous else "container"
            state = next(iter(self.record.state.get("waiting", {"reason": "not found"}).values()))
            raise ContainerNotRunning(f'{which} "{self.spec["name"]}" in pod is waiting to start: {state}')
        return log.read(follow=follow, tail_lines=tail_lines, timestamps=timestamps)

    @contextlib.contextmanager
    def joining(self, command: Sequence[str], *, terminal: bool) -> Iterator[Plan]:
        """The plan of one more process in the running container, with its identity and environment.

        Raises:
            ContainerNotRunning: It does not run.
        """
        if self.process is None or self._plan is None:
            raise ContainerNotRunning(f'container "{self.spec["name"]}" is not running')
        with (
            Namespace.of_process(Clone.NEWPID, self.process.pid) as processes,
            Namespace.of_process(Clone.NEWNS, self.process.pid) as mounts,
        ):
            yield replace(
                self._plan,
                arguments=tuple(command),
                environment={**self._plan.environment, **({"TERM": "xterm"} if terminal else {})},
                enter=(*self.sandbox.namespaces(), (Clone.NEWPID, processes.descriptor)),
                new_pid_namespace=False,
                join_mounts=mounts.descriptor,
                terminal=terminal,
                give=(0, 1, 2) if terminal else (1, 2),
            )

    # ---- one run

    async def _await_image(self) -> Image | None:
        """The image; None when the container is stopped before there is one."""
        reference = self.spec["image"]
        while (image := find_image(reference)) is None:
            said = f'failed to pull and unpack image "{reference}": not found: the sandbox has no registry'
            self.event("Warning", "Failed", f'Failed to pull image "{reference}": {said}')
            self._wait("ErrImagePull", said)
            if await self._stopped_within(RETRY_IMAGE_AFTER):
                return None
            self._wait("ImagePullBackOff", f'Back-off pulling image "{reference}"')
            if await self._stopped_within(RETRY_IMAGE_AFTER):
                return None
        self.event("Normal", "Pulled", f'Container image "{reference}" already present on machine')
        return image

    async def _run(self, image: Image) -> int:
        """One run; its exit code, 128 for one that could not start."""
        try:
            with self._shared_pid_namespace() as shared:
                plan = self._make_plan(image, shared)
                output, process = await self._start(plan)
        except (UnknownVolume, ForbiddenIdentity, ValueError) as error:
            self._wait("CreateContainerConfigError", str(error))
            self.event("Warning", "Failed", f"Error: {error}")
            return 128
        except (LaunchError, OSError) as error:
            self._fail_to_start(error)
            return 128
        self._plan, self.process = plan, process
        if self._stopping.is_set():
            process.signal(signal.SIGKILL)  # stopped while it was being launched
        self.event("Normal", "Created", f"Created container: {self.spec['name']}")
        self.record.run(f"kdev://{uuid.uuid4().hex}")
        self.record.started = "startupProbe" not in self.spec
        self.record.ready = self.record.started and "readinessProbe" not in self.spec
        self.event("Normal", "Started", f"Started container {self.spec['name']}")
        self.report()
        code = await self._follow(process)
        await output.drained()
        self.process = None
        self.record.end(code)
        self.report()
        return code

    async def _follow(self, process: Process) -> int:
        """Probe it until it ends."""
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch(self))
            code = await process.wait()
            watching.cancel()
        return code

    async def _start(self, plan: Plan) -> tuple[Output, Process]:
        if self._stopping.is_set():
            raise LaunchError(0, "the pod is being stopped")
        self._previous_log, self._log = self._log, Log()
        output = await Output.open(self._log)
        try:
            process = await launch(plan, stdin=output.null, stdout=output.write_end, stderr=output.write_end)
        except LaunchError:
            output.close()
            raise
        finally:
            output.close_write_end()
        return output, process

    def _make_plan(self, image: Image, shared: Namespace | None) -> Plan:
        who: Identity = identity(self.sandbox.pod, self.spec)
        sandbox = self.sandbox
        own = environment(self.spec, sandbox.pod, pod_ip=sandbox.ip, look_up=sandbox.look_up)
        variables = {**image.environment, **own}
        words = arguments(self.spec, image.entrypoint, variables)
        if not words:
            raise ValueError("no command specified")
        context: Object = self.spec.get("securityContext") or {}
        read_only = bool(context.get("readOnlyRootFilesystem", False))
        return Plan(
            arguments=words,
            environment=variables,
            directory=self.spec.get("workingDir") or "/",
            identity=who,
            drop_capabilities=tuple(to_drop(who.capabilities, _LAST_CAPABILITY)),
            enter=(*self.sandbox.namespaces(), *([(shared.kind, shared.descriptor)] if shared else [])),
            new_pid_namespace=shared is None,
            files=Files(self.sandbox.binds(self.spec), read_only_root=read_only),
            give=(1, 2),
        )

    @contextlib.contextmanager
    def _shared_pid_namespace(self) -> Iterator[Namespace | None]:
        """The process namespace to join, if it is somebody else's."""
        host = self.sandbox.pause if self._target is None else self._target.process
        if host is None:
            if self._target is not None:
                raise ValueError(f'target container "{self._target.spec["name"]}" is not running')
            yield None
            return
        with Namespace.of_process(Clone.NEWPID, host.pid) as shared:
            yield shared

    # ---- between runs

    def _fail_to_start(self, error: Exception) -> None:
        if self._stopping.is_set():
            return
        said = f"failed to create containerd task: failed to start: {error}"
        self._wait("RunContainerError", said)
        self.event("Warning", "Failed", f"Error: {said}")

    async def _back_off(self, delay: float) -> None:
        ended = self.record.exit_code is not None
        if ended:
            self.record.keep_last()
        if delay:
            name, pod = self.spec["name"], self.sandbox.pod["metadata"]
            said = f"back-off {delay:.0f}s restarting failed container={name} pod={pod['name']}_{pod['namespace']}"
            if ended:
                self._wait("CrashLoopBackOff", said)
            self.event("Warning", "BackOff", f"Back-off restarting failed container {name}")
        await self._stopped_within(delay)

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    def _wait(self, reason: str, message: str) -> None:
        self.record.wait(reason, message)
        self.report()
