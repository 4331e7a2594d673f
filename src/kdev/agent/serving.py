"""The agent's life: wait for its laptop, tap, serve, outlive breaks of the tunnel, hand everything back.

Everything that can be refused is refused before the tap. While the laptop is away the tap stays and every request is
served by the pod; when it stays away, or the pod ends, or the loop was stuck, the session ends as if it had asked.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from kdev.agent.claim import claim
from kdev.agent.conversation import Outcome, converse, refuse, requested
from kdev.agent.laptops import Laptop, Laptops, open_door
from kdev.agent.reporting import Reporting
from kdev.agent.settings import Settings
from kdev.agent.shadowing import TunnelShadowing
from kdev.agent.tapping import Tapped, recognise, tapped
from kdev.errors import AgentFailure, Failure
from kdev.policies.matching import compile_filters
from kdev.proxy.http2.taking_over import take_over
from kdev.proxy.splice import Splice
from kdev.tunnel.messages import Ended, Shadow

_log = logging.getLogger(__name__)
_audit = logging.getLogger("kdev.audit")

FIRST_LAPTOP_WITHIN = 120.0
"""Seconds: the laptop placed this agent and connects as soon as its container runs."""

LAPTOP_AWAY_AT_MOST = 60.0
"""Seconds without a tunnel until the session ends: a laptop that changes networks is back by then."""

HAND_BACK_WITHIN = 10.0
"""Seconds that the laptop is kept waiting for stolen requests in flight, once the tap is down."""

SERVE_ON_AT_MOST = 600.0
"""Seconds that connections which were led here are served after the session: as long as a large download takes."""

SILENT_FOR = 5.0
"""Seconds without a word after which a connection that is being handed back is closed: those in use go at their next
response before that. Servers close idle connections by such a clock, too (Node.js: after 5 seconds)."""


async def serve(settings: Settings, stop: asyncio.Event) -> str:
    """Serve one session and return why it ended.

    Args:
        settings: Whose.
        stop: Set when the container must end.

    Raises:
        AgentFailure: There was no session: nobody came, or what was asked for was refused.
    """
    async with open_door(settings) as laptops:
        laptop = await _first(laptops)
        try:
            return await _Session(settings.owner, laptops, stop).run(laptop, await requested(laptop))
        except Failure as failure:
            refuse(laptop.control, failure)
            laptop.tunnel.close()
            await laptop.tunnel.lost
            raise


async def _first(laptops: Laptops) -> Laptop:
    try:
        async with asyncio.timeout(FIRST_LAPTOP_WITHIN):
            return await laptops.next()
    except TimeoutError as error:
        raise AgentFailure(
            "laptop-did-not-come",
            "No laptop connected to the agent",
            seen=f"waited {FIRST_LAPTOP_WITHIN:g} s",
            advice="run 'kdev shadow' again; it places another agent",
        ) from error


class _Session:
    """What lives from the request to the end, over all the tunnels there are in between."""

    def __init__(self, owner: str, laptops: Laptops, stop: asyncio.Event) -> None:
        self._owner = owner
        self._laptops = laptops
        self._stop = stop
        self._laptop: Laptop | None = None
        self._reporting = Reporting()

    async def run(self, laptop: Laptop, request: Shadow) -> str:
        """Tap, serve, hand back; whoever comes next may tap as soon as this tap is down."""
        self._laptop = laptop
        async with contextlib.AsyncExitStack() as claimed:
            await claimed.enter_async_context(claim(self._owner))
            mesh = recognise(request.pod)
            matcher = compile_filters(request.filters, identity=mesh.identity, probes=request.probes)
            shadowing = TunnelShadowing(request, matcher, self._reporting.report)
            splice = Splice(shadowing.current, http2=take_over)
            async with tapped(request, mesh, splice, laptop.control.post, self._count_direct) as tap:
                _audit.info(
                    "begun: %s %s ports %s filters %s", self._owner, request.mode, request.ports, request.filters
                )
                try:
                    reason = await self._until_ended(laptop, shadowing, tap)
                finally:
                    tap.drop()
                _audit.info("ended: %s %s", self._owner, reason)
                await claimed.aclose()
                await self._hand_back(splice, reason)
        return reason

    def _count_direct(self, connections: int) -> None:
        self._reporting.direct = connections

    async def _until_ended(self, laptop: Laptop, shadowing: TunnelShadowing, tap: Tapped) -> str:
        """Serve one laptop after the other."""
        while True:
            event = await _first_of(
                converse(laptop, shadowing, self._reporting, tap.mesh),
                self._successor(),
                self._stopped(),
                tap.stuck(),
            )
            if event is Outcome.LOST:
                event = await _first_of(self._return(), self._stopped(), tap.stuck())
            if not isinstance(event, Laptop):
                return str(event)
            laptop.tunnel.close()
            self._laptop = laptop = event

    async def _successor(self) -> Laptop:
        """Wait for the laptop to come again; what it asks for was granted at the session's begin."""
        while True:
            laptop = await self._laptops.next()
            try:
                await requested(laptop)
            except AgentFailure as failure:
                _log.warning("a laptop came and went: %s", failure)
                laptop.tunnel.close()
            else:
                return laptop

    async def _stopped(self) -> str:
        await self._stop.wait()
        return "the pod is ending"

    async def _return(self) -> Laptop | str:
        _log.warning("the tunnel is lost: every request is served by the pod")
        try:
            async with asyncio.timeout(LAPTOP_AWAY_AT_MOST):
                return await self._successor()
        except TimeoutError:
            return f"the laptop was away for {LAPTOP_AWAY_AT_MOST:g} s"

    async def _hand_back(self, splice: Splice, reason: str) -> None:
        """Have the clients leave; tell the laptop when nothing of it is needed any more; serve the rest to its end."""
        self._laptops.close_door()
        splice.drain()
        if self._laptop is not None:
            await _release(self._laptop, Ended(reason=reason), self._reporting)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SERVE_ON_AT_MOST):
                await _none_left(splice)
        splice.connections.abort()


async def _release(laptop: Laptop, ended: Ended, reporting: Reporting) -> None:
    """Tell the laptop that it may go, once the streams are at their end that are in flight to its process."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HAND_BACK_WITHIN):
            await laptop.tunnel.idle()
    with contextlib.suppress(ConnectionError):
        laptop.control.post(reporting.counts())
        laptop.control.post(ended)
        laptop.control.close()


async def _none_left(splice: Splice) -> None:
    """Wait until all clients have left, and close the connections of those that have nothing more to say."""
    while splice.connections:
        splice.connections.close_idle(SILENT_FOR)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENT_FOR):
                await splice.connections.none_left()


async def _first_of(*coroutines: Coroutine[Any, Any, object]) -> object:
    """Run all until one returns; its result. The others are cancelled."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(coroutine) for coroutine in coroutines]
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        return done.pop().result()
