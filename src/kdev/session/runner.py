"""Runs a session: performs the orders of ``lifecycle.step`` and posts what came of them.

Each order is a task of one task group, so nothing outlives the session. A ``Failure`` in any of them ends the session
in order: what was tapped is handed back first, then the failure is raised.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import ParamSpec

from kdev.errors import Failure
from kdev.kube import preflight
from kdev.kube.api import Api
from kdev.kube.targets import Kind, resolve
from kdev.session import lifecycle, news
from kdev.session.agent_news import AgentNews
from kdev.session.developer_process import DeveloperProcess, Launch
from kdev.session.following import newcomers
from kdev.session.lifecycle import PER_POD, Command, Event, Order, Phase, State, step
from kdev.session.plan import Plan, Wish, make_plan, new_agent
from kdev.session.pods import Pods
from kdev.session.relay import LocalRelay
from kdev.tunnel.messages import Counts
from kdev.tunnel.stream_accepting import accept_streams

_Arguments = ParamSpec("_Arguments")


class Session:
    """One run. ``stop`` may be called from a signal handler.

    Args:
        api: The cluster.
        wish: What the user asked for.
        tell: Told what happens.
        launch: None when the process listens already.
    """

    def __init__(self, api: Api, wish: Wish, tell: news.Tell, launch: Launch | None) -> None:
        self._api = api
        self._wish = wish
        self._tell = tell
        self._launch = launch
        self._state = State()
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._heard = AgentNews(tell)
        self._began = time.monotonic()
        self._was_ready = False
        self._serving = False
        self._ending: lifecycle.Ending | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._process: DeveloperProcess | None = None
        self._plan: Plan
        self._pods: Pods | None = None
        self._tasks: asyncio.TaskGroup

    @property
    def exit_code(self) -> int | None:
        """The process's, once it has ended; None before, or when the session started none."""
        return self._process.exit_code if self._process else None

    def stop(self, reason: str) -> None:
        """End the session in order; called again, at once."""
        self._post(lifecycle.Interrupted(reason))

    async def run(self) -> Counts:
        """Run until it ends, and return what became of the requests.

        Raises:
            Failure: What ended it, if it was one.
        """
        async with asyncio.TaskGroup() as self._tasks:
            self._start(Order(Command.RESOLVE))
            while self._state.phase is not Phase.ENDED:
                event = await self._events.get()
                if isinstance(event, lifecycle.Ending) and self._ending is None:
                    self._ending = event
                self._state, orders = step(self._state, event)
                for order in orders:
                    self._start(order)
            if self._pods is not None:
                self._pods.close()
            for task in self._running:
                task.cancel()
        assert self._ending is not None
        failure = self._ending.failure if isinstance(self._ending, lifecycle.Failed) else None
        if self._pods is not None:
            reason = "" if failure else self._ending.reason
            self._tell(news.Summary(reason=reason, seconds=self._seconds(), counts=self._heard.counts))
        if failure is not None:
            raise failure
        return self._heard.counts

    # ---- orders

    def _start(self, order: Order) -> None:
        if order.command in PER_POD:
            assert self._pods is not None
            self._spawn(self._pods.perform, order.command, order.pod)
            return
        match order.command:
            case Command.TELL_READY:
                self._tell_ready()
            case Command.TELL_WAITING:
                self._tell_waiting()
            case Command.START_LOCAL:
                self._start_local()
            case Command.RESOLVE:
                self._spawn(self._resolve)
            case Command.CHECK:
                self._spawn(self._check)
            case Command.HAND_BACK:
                self._spawn(self._hand_back)

    def _spawn(
        self, work: Callable[_Arguments, Coroutine[None, None, None]],
        *arguments: _Arguments.args, **options: _Arguments.kwargs,
    ) -> None:  # fmt: skip
        task = self._tasks.create_task(self._guard(work, *arguments, **options))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _guard(
        self, work: Callable[_Arguments, Coroutine[None, None, None]],
        *arguments: _Arguments.args, **options: _Arguments.kwargs,
    ) -> None:  # fmt: skip
        try:
            await work(*arguments, **options)
        except Failure as failure:
            self._post(lifecycle.Failed(failure.explanation.cause, failure))

    def _post(self, event: Event) -> None:
        self._events.put_nowait(event)

    async def _resolve(self) -> None:
        with self._step(f"Find {self._wish.target} in namespace {self._wish.namespace}") as timer:
            self._plan = make_plan(self._wish, await resolve(self._api, self._wish.target, self._wish.namespace))
            names = [pod.metadata.name for pod in self._plan.resolved.pods]
            timer.end(", ".join(names))
        self._post(lifecycle.Resolved(frozenset(names)))

    async def _check(self) -> None:
        """Ask whether all is permitted, and prepare what a session needs from then on."""
        plan = self._plan
        with self._step("Check rights and admission"):
            agent = new_agent(plan, bytes(32))
            verifiable = await preflight.check(self._api, self._wish.namespace, plan.resolved.pods, agent)
        if not verifiable:
            self._tell(news.Note(text="The agents cannot be verified by their logs: you may not get pods/log"))
        self._process = DeveloperProcess(self._launch, plan.local_ports, self._post)
        relay = LocalRelay(plan.local_ports, self._tasks, self._heard.answered)
        self._pods = Pods(
            self._api,
            plan,
            verifiable=verifiable,
            acceptor=accept_streams(relay.serve),
            heard=self._heard,
            tell=self._tell,
            post=self._post,
        )
        self._post(lifecycle.Permitted())

    async def _hand_back(self) -> None:
        assert self._pods is not None
        assert self._ending is not None
        async with asyncio.TaskGroup() as tasks:
            for name in self._pods.names:
                tasks.create_task(self._pods.hand_back(name, self._ending.reason))
        self._post(lifecycle.HandedBack())

    # ---- once the first pods are tapped

    def _start_local(self) -> None:
        """Start the process and look after its ports and the target's pods; a session does this once."""
        assert self._process is not None
        assert self._pods is not None
        if self._serving:
            self._tell_waiting()
            return
        self._serving = True
        self._spawn(self._process.run)
        self._spawn(self._process.watch, self._pods.tell_listening)
        if self._plan.resolved.kind is not Kind.POD:
            self._spawn(self._follow, self._pods)

    async def _follow(self, pods: Pods) -> None:
        async for pod in newcomers(self._api, self._wish, pods, self._tell):
            pods.join(pod)

    # ---- news

    def _tell_ready(self) -> None:
        self._tell(
            news.Ready(
                target=str(self._plan.resolved),
                pods=tuple(sorted(self._state.pods)),
                ports=tuple(str(pair) for pair in self._plan.ports),
                mode=self._wish.mode.value,
                direct=self._heard.counts.direct,
                seconds=self._seconds(),
                again=self._was_ready,
            )
        )
        self._was_ready = True
        self._tell_waiting()

    def _tell_waiting(self) -> None:
        if self._process is not None and self._process.missing:
            self._tell(news.Waiting(ports=self._process.missing))

    def _step(self, name: str) -> news.StepTimer:
        return news.StepTimer(self._tell, name)

    def _seconds(self) -> float:
        return time.monotonic() - self._began
