"""The pods of a session: performs the lifecycle's orders for each, and posts what came of them.

A pod that joins later and cannot be shadowed does not end the session, which goes on in the others.
"""

import time
from collections import Counter
from collections.abc import Callable

from nacl.signing import SigningKey

from kdev.errors import AgentFailure, Failure, TargetFailure
from kdev.kube import audit
from kdev.kube.api import Api
from kdev.kube.objects import Pod
from kdev.kube.targets import Kind
from kdev.session import lifecycle, news
from kdev.session.agent_news import AgentNews
from kdev.session.lifecycle import Command, Event
from kdev.session.plan import Plan, new_agent
from kdev.session.pod_link import AgentGone, PodLink
from kdev.tunnel.messages import FromAgent, Ready
from kdev.tunnel.transport import Acceptor

MAX_AGENTS = 5
"""Agents that a session places in one pod, each of which leaves its name in the pod's spec. More than one are needed
only when the last was killed."""


class Pods:
    """Every pod that the session has ever shadowed, by its name.

    Args:
        api: The cluster.
        plan: What to shadow.
        verifiable: Whether the agents' logs may be read.
        acceptor: Takes the streams that agents open.
        heard: Told what agents say.
        tell: Told the steps.
        post: Takes what came of an order.

    Attributes:
        known: Names of the pods that are, were, or could not be shadowed.
        lost_at: When the last pod left, on the monotonic clock; None before any has.
    """

    def __init__(
        self,
        api: Api,
        plan: Plan,
        *,
        verifiable: bool,
        acceptor: Acceptor,
        heard: AgentNews,
        tell: news.Tell,
        post: Callable[[Event], None],
    ) -> None:
        self.known: set[str] = set()
        self.lost_at: float | None = None
        self._api = api
        self._plan = plan
        self._verifiable = verifiable
        self._acceptor = acceptor
        self._heard = heard
        self._tell = tell
        self._post = post
        self._key = SigningKey.generate()
        self._links: dict[str, PodLink] = {}
        self._joining: set[str] = set()
        self._placed: Counter[str] = Counter()
        self._begun: set[str] = set()
        self._tapped: set[str] = set()
        self._steps: dict[str, news.StepTimer] = {}
        self._listening: tuple[int, ...] = ()
        for pod in plan.resolved.pods:
            self._add(pod)

    @property
    def any_left(self) -> bool:
        """Whether there is a pod to shadow."""
        return bool(self._links)

    def join(self, pod: Pod) -> None:
        """Shadow another pod."""
        self._add(pod)
        self._joining.add(pod.metadata.name)
        self._post(lifecycle.PodJoined(pod.metadata.name))

    async def perform(self, command: Command, name: str) -> None:
        """Carry out an order for one pod.

        Raises:
            Failure: It cannot be carried out, and the session cannot go on without this pod.
        """
        link = self._links.get(name)
        if link is None:
            return
        try:
            match command:
                case Command.PLACE:
                    await self._place(link)
                case Command.CONNECT:
                    await self._connect(link)
                case Command.ATTACH:
                    await self._attach(link)
                case Command.RECONNECT:
                    await self._reconnect(link)
        except Failure as failure:
            if step := self._steps.pop(name, None):
                step.fail()
            if name not in self._joining:
                raise
            self._leave(link, news.Warned(text=f"Pod {name} is not shadowed: {failure.explanation.cause}"))

    def tell_listening(self, ports: tuple[int, ...]) -> None:
        """Tell every agent for which of the pod's ports there is a local process."""
        self._listening = ports
        for link in self._links.values():
            link.tell_listening(ports)

    async def hand_back(self, name: str, reason: str) -> None:
        """End what was begun in a pod."""
        link = self._links[name]
        if link.tunnelled:
            with news.StepTimer(self._tell, f"Hand {name} back", part=name not in self._tapped) as timer:
                if not await link.detach(reason):
                    timer.end("the agent did not answer; it ends by itself")
        if name in self._begun:
            await self._audit(link, "ShadowEnded")

    @property
    def names(self) -> tuple[str, ...]:
        """The pods that are shadowed now, or about to be."""
        return tuple(self._links)

    def close(self) -> None:
        """End every tunnel."""
        for link in self._links.values():
            link.close()

    # ---- orders

    async def _place(self, link: PodLink) -> None:
        pod = link.pod.metadata.name
        self._placed[pod] += 1
        if self._placed[pod] > MAX_AGENTS:
            raise _agents_keep_ending(pod)
        self._step(pod)
        with self._part(f"Place the agent in {pod}") as timer:
            await link.place(new_agent(self._plan, bytes(self._key.verify_key)))
            timer.end(link.agent.container)
        self._begun.add(pod)
        self._tapped.discard(pod)
        self._post(lifecycle.Placed(pod))
        await self._audit(link, "ShadowBegan")

    async def _connect(self, link: PodLink) -> None:
        pod = link.pod.metadata.name
        with self._part(f"Reach the agent in {pod}"):
            await link.connect()
        if self._verifiable:
            with self._part(f"Verify the agent in {pod}"):
                verified = await link.verify()
            if not verified:
                self._tell(news.Note(text=f"The agent in {pod} was not verified: its log does not tell its key"))
        self._post(lifecycle.Connected(pod))

    async def _attach(self, link: PodLink) -> None:
        pod = link.pod.metadata.name
        step = self._step(pod)

        def heard(message: FromAgent) -> None:
            if isinstance(message, Ready):
                step.end(f"mesh: {message.mesh}")
                self._joining.discard(pod)
                self._tapped.add(pod)
                self._post(lifecycle.Attached(pod))
                link.tell_listening(self._listening)
            self._heard.hear(pod, message)

        await link.attach(heard)
        step.fail()  # unless it was ready once
        del self._steps[pod]
        self._post(lifecycle.Lost(pod))

    async def _reconnect(self, link: PodLink) -> None:
        pod = link.pod.metadata.name
        self._tell(news.Warned(text=f"The tunnel to {pod} broke; its requests stay on the pod until it is back"))
        try:
            await link.reconnect()
        except AgentGone:
            self._tell(news.Note(text=f"The agent in {pod} has ended; placing another one"))
            self._post(lifecycle.AgentEnded(pod))
        except TargetFailure as failure:
            if failure.explanation.reference != "pod-gone" or self._plan.resolved.kind is Kind.POD:
                raise
            others = f"{len(self._links) - 1} left" if len(self._links) > 1 else "waiting for its successor"
            self._leave(link, news.Note(text=f"Pod {pod} is gone; {others}"))
        else:
            self._post(lifecycle.Connected(pod))

    # ---- inside

    def _add(self, pod: Pod) -> None:
        name = pod.metadata.name
        self.known.add(name)
        self._links[name] = PodLink(self._api, pod, self._plan.shadow(pod), self._key, self._acceptor)

    def _leave(self, link: PodLink, why: news.News) -> None:
        name = link.pod.metadata.name
        link.close()
        del self._links[name]
        self._joining.discard(name)
        self.lost_at = time.monotonic()
        self._tell(why)
        self._post(lifecycle.PodLeft(name))

    def _step(self, pod: str) -> news.StepTimer:
        """The step that spans all orders until the pod is tapped."""
        if pod not in self._steps:
            self._steps[pod] = news.StepTimer(self._tell, f"Tap {pod}").__enter__()
        return self._steps[pod]

    def _part(self, name: str) -> news.StepTimer:
        return news.StepTimer(self._tell, name, part=True)

    async def _audit(self, link: PodLink, reason: str) -> None:
        wish = self._plan.wish
        message = (
            f"{wish.owner} shadows ports {', '.join(str(pair.pod) for pair in self._plan.ports)} in mode "
            f"{wish.mode.value}, filters {list(wish.filters) or 'none'}, agent {link.agent.container}"
        )
        refused = await audit.record(self._api, link.pod, reason, message)
        if refused is not None and reason == "ShadowBegan":
            self._tell(news.Note(text=f"No Event was written on {link.pod.metadata.name}: {refused}"))


def _agents_keep_ending(pod: str) -> AgentFailure:
    return AgentFailure(
        "agents-keep-ending",
        f"{MAX_AGENTS} agents in pod {pod} have ended one after the other",
        seen="their containers have terminated",
        advice=f"see 'kubectl describe pod {pod}': they may be short of memory; the pod serves by itself",
    )
