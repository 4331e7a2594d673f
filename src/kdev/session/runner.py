"""Runs a session: performs the orders of ``lifecycle.step`` and posts what came of them.

Each order is a task of one task group, so nothing outlives the session. A ``Failure`` in any of them ends the session
in order: what was tapped is handed back first, then the failure is raised.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Protocol

from nacl.signing import SigningKey

from kdev.errors import AgentFailure, Failure, TargetFailure
from kdev.kube import audit, preflight
from kdev.kube.api import Api
from kdev.kube.objects import Pod
from kdev.kube.targets import Kind, resolve
from kdev.session import lifecycle, news
from kdev.session.agent_news import AgentNews
from kdev.session.lifecycle import Command, Event, Order, Phase, State, step
from kdev.session.listening import watch_listening
from kdev.session.plan import Plan, Wish, make_plan, new_agent
from kdev.session.pod_link import AgentGone, PodLink
from kdev.session.relay import LocalRelay
from kdev.tunnel.messages import Counts, FromAgent, Ready
from kdev.tunnel.stream_accepting import accept_streams

FOLLOW_WITHIN = 120.0
"""Seconds for a deleted pod's successor to become ready; an image that takes longer is a new session's business."""

FOLLOW_EVERY = 1.0
"""Seconds between two looks for a successor: as often as a kubelet reports."""

MAX_AGENTS = 5
"""Agents that a session places in one pod, each of which leaves its name in the pod's spec. More than one are needed
only when the last was killed."""


class LocalProcess(Protocol):
    """The developer's process, where the session starts it; ``layer.child.Child`` is one."""

    async def wait(self) -> int:
        """Its exit code."""
        ...

    async def end(self) -> None:
        """End it, by force if need be."""
        ...


Launch = Callable[[], Awaitable[LocalProcess]]
"""Starts the developer's process; called once, when the tap is up."""


class Session:
    """One run. ``stop`` may be called from a signal handler.

    Args:
        api: The cluster.
        wish: What the user asked for.
        tell: Told what happens.
        launch: None when the process listens already.

    Attributes:
        exit_code: The process's, once it has ended; None before, or when the session started none.
    """

    def __init__(self, api: Api, wish: Wish, tell: news.Tell, launch: Launch | None) -> None:
        self.exit_code: int | None = None
        self._api = api
        self._wish = wish
        self._tell = tell
        self._launch = launch
        self._key = SigningKey.generate()
        self._state = State()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._links: dict[str, PodLink] = {}
        self._placed: Counter[str] = Counter()
        self._heard = AgentNews(tell)
        self._began = time.monotonic()
        self._open_ports: frozenset[int] = frozenset()
        self._serving = False
        self._stopped: lifecycle.Stopped | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._plan: Plan
        self._relay: LocalRelay
        self._tasks: asyncio.TaskGroup

    def stop(self, reason: str) -> None:
        """End the session in order; called again, at once."""
        self._events.put_nowait(lifecycle.Stopped(reason))

    async def run(self) -> Counts:
        """Run until it ends, and return what became of the requests.

        Raises:
            Failure: What ended it, if it was one.
        """
        async with asyncio.TaskGroup() as self._tasks:
            self._start(Order(Command.RESOLVE))
            while self._state.phase is not Phase.ENDED:
                event = await self._events.get()
                if isinstance(event, lifecycle.Stopped) and self._stopped is None:
                    self._stopped = event
                self._state, orders = step(self._state, event)
                for order in orders:
                    self._start(order)
            for link in self._links.values():
                link.close()
            for task in self._running:
                task.cancel()
        assert self._stopped is not None
        counts = self._heard.counts
        if self._placed:
            seconds = time.monotonic() - self._began
            self._tell(news.Summary(reason=self._stopped.reason, seconds=seconds, counts=counts))
        if self._stopped.failure is not None:
            raise self._stopped.failure
        return counts

    # ---- orders

    def _start(self, order: Order) -> None:
        match order.command:
            case Command.TELL_READY:
                self._tell_ready()
            case Command.TELL_WAITING:
                self._tell_waiting()
            case Command.START_LOCAL:
                self._start_local()
            case Command.RESOLVE:
                self._spawn(self._resolve())
            case Command.CHECK:
                self._spawn(self._check())
            case Command.FOLLOW:
                self._spawn(self._follow(order.pod))
            case Command.PLACE:
                self._spawn(self._place(self._links[order.pod]))
            case Command.CONNECT:
                self._spawn(self._connect(self._links[order.pod]))
            case Command.ATTACH:
                self._spawn(self._attach(self._links[order.pod]))
            case Command.RECONNECT:
                self._spawn(self._reconnect(self._links[order.pod]))
            case Command.DETACH:
                self._spawn(self._detach(order.pod))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = self._tasks.create_task(self._guard(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _guard(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except Failure as failure:
            self._events.put_nowait(lifecycle.Stopped(failure.explanation.cause, failure))

    async def _resolve(self) -> None:
        with self._step(f"Find {self._wish.target} in namespace {self._wish.namespace}") as timer:
            resolved = await resolve(self._api, self._wish.target, self._wish.namespace)
            self._plan = make_plan(self._wish, resolved)
            self._relay = LocalRelay(self._plan.local_ports, self._tasks, self._heard.answered)
            self._links = {pod.metadata.name: self._link(pod) for pod in resolved.pods}
            timer.end(", ".join(self._links))
        self._events.put_nowait(lifecycle.Resolved(frozenset(self._links)))

    async def _check(self) -> None:
        with self._step("Check rights and admission"):
            agent = new_agent(self._plan, bytes(self._key.verify_key))
            await preflight.check(self._api, self._wish.namespace, self._plan.resolved.pods, agent)
        self._events.put_nowait(lifecycle.Permitted())

    async def _place(self, link: PodLink) -> None:
        pod = link.pod.metadata.name
        self._placed[pod] += 1
        if self._placed[pod] > MAX_AGENTS:
            raise _agents_keep_ending(pod)
        with self._step(f"Place the agent in {pod}") as timer:
            await link.place(new_agent(self._plan, bytes(self._key.verify_key)))
            timer.end(link.agent.container)
        self._events.put_nowait(lifecycle.Placed(pod))
        await self._audit(link, "ShadowBegan")

    async def _connect(self, link: PodLink) -> None:
        with self._step(f"Reach the agent in {link.pod.metadata.name}"):
            await link.connect()
        self._events.put_nowait(lifecycle.Connected(link.pod.metadata.name))

    async def _attach(self, link: PodLink) -> None:
        pod = link.pod.metadata.name
        with self._step(f"Tap {pod}") as timer:

            def heard(message: FromAgent) -> None:
                if isinstance(message, Ready):
                    timer.end(f"mesh: {message.mesh}")
                    self._events.put_nowait(lifecycle.Attached(pod))
                    link.tell_listening(self._pod_ports())
                self._heard.hear(pod, message)

            await link.attach(heard)
            timer.fail()  # unless it was ready once
        self._events.put_nowait(lifecycle.Lost(pod))

    async def _reconnect(self, link: PodLink) -> None:
        pod = link.pod.metadata.name
        self._tell(news.Warned(text=f"The tunnel to {pod} broke; its requests stay on the pod until it is back"))
        try:
            await link.reconnect()
        except AgentGone:
            self._tell(news.Note(text=f"The agent in {pod} has ended; placing another one"))
            self._events.put_nowait(lifecycle.AgentEnded(pod))
        except TargetFailure as failure:
            if failure.explanation.reference != "pod-gone" or self._plan.resolved.kind is Kind.POD:
                raise
            self._events.put_nowait(lifecycle.PodGone(pod))
        else:
            self._events.put_nowait(lifecycle.Connected(pod))

    async def _follow(self, pod: str) -> None:
        """Wait for a ready pod of the target that this session does not shadow yet."""
        self._tell(news.Note(text=f"Pod {pod} is gone; waiting for its successor"))
        last: TargetFailure | None = None
        for _ in range(int(FOLLOW_WITHIN / FOLLOW_EVERY)):
            try:
                resolved = await resolve(self._api, self._wish.target, self._wish.namespace)
            except TargetFailure as failure:
                last = failure
            else:
                for successor in resolved.pods:
                    if successor.metadata.name not in self._links:
                        self._links[successor.metadata.name] = self._link(successor)
                        self._events.put_nowait(lifecycle.Followed(pod, successor.metadata.name))
                        return
            await asyncio.sleep(FOLLOW_EVERY)
        raise last or TargetFailure(
            "pod-gone",
            f"Pod {pod} is gone and got no successor within {FOLLOW_WITHIN:.0f} seconds",
            advice="run the same command again for the pods that are left",
        )

    async def _detach(self, pod: str) -> None:
        link = self._links[pod]
        if link.tunnelled:
            with self._step(f"Hand {pod} back") as timer:
                assert self._stopped is not None
                if not await link.detach(self._stopped.reason):
                    timer.end("the agent did not answer; it ends by itself")
        if pod in self._placed:
            await self._audit(link, "ShadowEnded")
        self._events.put_nowait(lifecycle.Detached(pod))

    # ---- the local process

    def _start_local(self) -> None:
        """Start the process and look after its ports; a session does this once."""
        if self._serving:
            self._tell_waiting()
            return
        self._serving = True
        if self._launch is not None:
            self._spawn(self._run_process(self._launch))
        self._spawn(self._watch_ports())

    async def _run_process(self, launch: Launch) -> None:
        process = await launch()
        try:
            self.exit_code = await process.wait()
        except asyncio.CancelledError:
            await process.end()
            raise
        self.stop(f"the process ended with exit code {self.exit_code}")

    async def _watch_ports(self) -> None:
        async for ports in watch_listening(set(self._plan.local_ports.values())):
            self._open_ports = ports
            for link in self._links.values():
                link.tell_listening(self._pod_ports())
            self._events.put_nowait(lifecycle.LocalOpened() if ports else lifecycle.LocalClosed())

    def _pod_ports(self) -> tuple[int, ...]:
        return tuple(pod for pod, local in self._plan.local_ports.items() if local in self._open_ports)

    # ---- news

    def _tell_ready(self) -> None:
        self._tell(
            news.Ready(
                target=str(self._plan.resolved),
                pods=tuple(sorted(self._state.pods)),
                ports=tuple(str(pair) for pair in self._plan.ports),
                mode=self._wish.mode.value,
                direct=self._heard.counts.direct,
                seconds=time.monotonic() - self._began,
            )
        )
        self._tell_waiting()

    def _tell_waiting(self) -> None:
        closed = sorted(set(self._plan.local_ports.values()) - self._open_ports)
        if closed:
            self._tell(news.Waiting(ports=tuple(closed)))

    def _step(self, name: str) -> news.StepTimer:
        return news.StepTimer(self._tell, name)

    async def _audit(self, link: PodLink, reason: str) -> None:
        wish = self._wish
        message = (
            f"{wish.owner} shadows ports {', '.join(str(pair.pod) for pair in self._plan.ports)} in mode "
            f"{wish.mode.value}, filters {list(wish.filters) or 'none'}, agent {link.agent.container}"
        )
        refused = await audit.record(self._api, link.pod, reason, message)
        if refused is not None and reason == "ShadowBegan":
            self._tell(news.Note(text=f"No Event was written on {link.pod.metadata.name}: {refused}"))

    def _link(self, pod: Pod) -> PodLink:
        return PodLink(self._api, pod, self._plan.shadow(pod), self._key, accept_streams(self._relay.serve))


def _agents_keep_ending(pod: str) -> AgentFailure:
    return AgentFailure(
        "agents-keep-ending",
        f"{MAX_AGENTS} agents in pod {pod} have ended one after the other",
        seen="their containers have terminated",
        advice=f"see 'kubectl describe pod {pod}': they may be short of memory; the pod serves by itself",
    )
