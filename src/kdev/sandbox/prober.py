"""Probing a container while it runs: start-up first, then readiness and liveness side by side."""

import asyncio
from collections.abc import AsyncIterator

from kdev.sandbox.checks import check
from kdev.sandbox.container import Container
from kdev.sandbox.execution import run_to_end
from kdev.sandbox.interface import ContainerNotRunning
from kdev.sandbox.namespaces import Namespace
from kdev.sandbox.probes import Exec, Probe, Verdict
from kdev.sandbox.processes import LaunchError

_TITLES = {"startupProbe": "Startup", "readinessProbe": "Readiness", "livenessProbe": "Liveness"}


class Prober:
    """Carries out the probes of containers from one node.

    Args:
        node: The namespace that probes come from.
    """

    def __init__(self, node: Namespace) -> None:
        self._node = node

    async def watch(self, container: Container) -> None:
        """Probe until cancelled: report readiness, and end the container when it is not alive."""
        if "startupProbe" in container.spec and not await self._await_started(container):
            return
        async with asyncio.TaskGroup() as group:
            if "readinessProbe" in container.spec:
                group.create_task(self._watch_readiness(container))
            if "livenessProbe" in container.spec:
                group.create_task(self._watch_liveness(container))

    async def _await_started(self, container: Container) -> bool:
        async for healthy in self._verdicts(container, "startupProbe"):
            if not healthy:
                await self._kill(container, "startup")
                return False
            container.record.started = True
            container.record.ready = "readinessProbe" not in container.spec
            container.report()
            return True
        return False

    async def _watch_readiness(self, container: Container) -> None:
        async for healthy in self._verdicts(container, "readinessProbe"):
            if healthy != container.record.ready:
                container.record.ready = healthy
                container.report()

    async def _watch_liveness(self, container: Container) -> None:
        async for healthy in self._verdicts(container, "livenessProbe"):
            if not healthy:
                await self._kill(container, "liveness")
                return

    async def _verdicts(self, container: Container, which: str) -> AsyncIterator[bool]:
        """Whether the container is healthy, each time that enough answers in a row say so; never for a bad probe."""
        try:
            probe = Probe.parse(container.spec[which], container.spec)
        except ValueError as error:
            container.event("Warning", "Unhealthy", f"{_TITLES[which]} probe errored: {error}")
            return
        verdict = Verdict(probe)
        await asyncio.sleep(probe.initial_delay)
        while True:
            seen = await self._ask(container, probe)
            if seen:
                container.event("Warning", "Unhealthy", f"{_TITLES[which]} probe failed: {seen}")
            if verdict.observe(success=not seen):
                yield not seen
            await asyncio.sleep(probe.period)

    async def _ask(self, container: Container, probe: Probe) -> str:
        try:
            async with asyncio.timeout(probe.timeout):
                if isinstance(probe.check, Exec):
                    try:
                        code = await run_to_end(container, probe.check.command)
                    except (LaunchError, ContainerNotRunning) as error:
                        return str(error)
                    return "" if code == 0 else f"command exited with code {code}"
                return await check(self._node, container.sandbox.ip, probe.check)
        except TimeoutError:
            return "context deadline exceeded"

    async def _kill(self, container: Container, which: str) -> None:
        name = container.spec["name"]
        container.event("Normal", "Killing", f"Container {name} failed {which} probe, will be restarted")
        grace = container.sandbox.pod["spec"].get("terminationGracePeriodSeconds", 30)
        await container.kill(grace)
