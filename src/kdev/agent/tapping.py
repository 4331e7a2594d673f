"""From a request to shadow to a tap that is proved to work, in the order in which things may fail harmlessly.

Detection and binding touch nothing. The tap comes last and is tested at once; whatever fails, leaving the context
drops it.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address

from kdev.agent import evidence
from kdev.agent.arrivals import Arrivals
from kdev.agent.listeners import listening
from kdev.agent.nudge import Nudge
from kdev.agent.self_test import self_test
from kdev.agent.tap import Tap
from kdev.agent.watchdog import Watchdog
from kdev.errors import AgentFailure
from kdev.mesh_adapters.detection import detect
from kdev.mesh_adapters.interface import Mesh
from kdev.tunnel.messages import PodFacts, Shadow, Step

Tell = Callable[[Step], None]


class Tapped:
    """A tap that is up and tested.

    Attributes:
        mesh: Whose hop it taps.
    """

    def __init__(self, mesh: Mesh, tap: Tap, watchdog: Watchdog, nudge: Nudge) -> None:
        self.mesh = mesh
        self._tap = tap
        self._watchdog = watchdog
        self._nudge = nudge

    async def stuck(self) -> str:
        """Wait until the watchdog had to drop the tap; return what to call that."""
        await self._watchdog.fired()
        return "the agent was stuck, and its watchdog dropped the tap"

    def drop(self) -> None:
        """Lead no more connections here; those that are here stay."""
        self._nudge.stop()
        self._tap.drop()


def recognise(pod: PodFacts) -> Mesh:
    """Find out which mesh is in the pod.

    Raises:
        AgentFailure: The kernel does not show the pod's rules.
        TargetFailure: The mesh cannot be tapped.
    """
    try:
        return detect(evidence.gather(pod))
    except OSError as error:
        raise AgentFailure(
            "evidence-refused",
            "The kernel did not show the agent the pod's nf_tables rules",
            seen=str(error),
            advice="the agent's container needs the capability NET_ADMIN; see what admission left of it",
        ) from error


@contextlib.asynccontextmanager
async def tapped(
    request: Shadow, mesh: Mesh, splice: Callable[[], asyncio.Protocol], tell: Tell, on_direct: Callable[[int], None]
) -> AsyncIterator[Tapped]:
    """Tap the pod while in the context; connections that bypass the tap are asked to come round meanwhile.

    Args:
        request: What the laptop asked for.
        mesh: From ``recognise``.
        splice: Makes the protocol of each connection that arrives.
        tell: Told each step.
        on_direct: Told how many connections bypass the tap, at first and at each change.

    Raises:
        AgentFailure: The tap is refused, or does not work.
    """
    arrivals = Arrivals(splice)
    async with contextlib.AsyncExitStack() as stack:
        with _step("tap", tell):
            try:
                port = await stack.enter_async_context(listening(mesh, arrivals.protocol))
            except OSError as error:
                raise _no_listener(error) from error
            tap = stack.enter_context(Tap(mesh.hops, request.ports, port))
        with _step("self-test", tell):
            for hop in mesh.hops:
                await self_test(hop, ip_address(request.pod.ip), request.ports[0], arrivals)
        nudge = Nudge(mesh.hops, request.ports, on_direct)
        group = await stack.enter_async_context(asyncio.TaskGroup())
        keeping = group.create_task(tap.keep())
        group.create_task(nudge.run())
        stack.callback(nudge.stop)
        stack.callback(keeping.cancel)

        def drop() -> None:
            nudge.drop()
            tap.drop()

        watchdog = stack.enter_context(Watchdog(drop))
        yield Tapped(mesh, tap, watchdog, nudge)


@contextlib.contextmanager
def _step(name: str, tell: Tell) -> Iterator[None]:
    begun = time.monotonic()
    tell(Step(name=name))
    yield
    tell(Step(name=name, seconds=time.monotonic() - begun))


def _no_listener(error: OSError) -> AgentFailure:
    return AgentFailure(
        "agent-listener",
        "The agent found no port of the pod on which tapped connections could arrive",
        seen=str(error),
        advice="see which ports the pod's processes use: kubectl exec ... -- ss -ltn",
    )
