"""One pod of a session, from the laptop: its agent's container, the tunnel to it, and the control channel."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress

from nacl.signing import SigningKey

from kdev.errors import AgentFailure, ClusterFailure
from kdev.kube import agent_log
from kdev.kube.agent_container import AgentSpec
from kdev.kube.api import Api
from kdev.kube.objects import Pod
from kdev.kube.placement import START_TIMEOUT, STATUS_EVERY, agent_state, apply, await_start_trouble, pod_gone
from kdev.kube.refusals import NotFound
from kdev.tunnel.control import ControlChannel
from kdev.tunnel.handshake.laptop import LaptopHandshake
from kdev.tunnel.handshake.protocol import HandshakeProtocol
from kdev.tunnel.messages import Detach, Ended, FromAgent, FromLaptop, Listening, Ready, Refusal, Shadow
from kdev.tunnel.transport import Acceptor, Tunnel
from kdev.tunnel.yamux.connection import Role
from kdev.tunnel.yamux.protocol_error import RemoteProtocolError

ATTACH_TIMEOUT = 30.0
"""Seconds for the agent to tap and test itself; it takes milliseconds, and a loaded node some hundred."""

DETACH_TIMEOUT = 15.0
"""Seconds for the agent to hand its connections back, for which it takes at most 10; what is left it serves on
without us."""

RECONNECT_WITHIN = 600.0
"""Seconds. A laptop that slept longer than a coffee break begins a new session."""

_FIRST_DELAY, _LAST_DELAY = 0.05, 0.1
"""Seconds between two attempts while the agent starts: an attempt costs the API server some 10 ms."""

_FIRST_BACK_OFF, _LAST_BACK_OFF = 0.25, 5.0
"""Seconds between two attempts to reach an agent that was there before."""

_PASSING = frozenset(("agent-hung-up", "cluster-unreachable", "cluster-refused", "cluster-busy", "cluster-failing"))
"""References of failures that another attempt may not meet again."""


class AgentGone(Exception):  # noqa: N818 - a state of the pod, which the session answers with a new agent
    """The agent has ended, or serves no session any more."""


class PodLink:
    """What a session does with one pod; each method is one command of the lifecycle.

    Attributes:
        pod: The pod.
        agent: The agent that was placed last.
        tunnelled: Whether there is a tunnel now.
    """

    def __init__(self, api: Api, pod: Pod, shadow: Shadow, key: SigningKey, acceptor: Acceptor) -> None:
        self.pod = pod
        self.agent: AgentSpec
        self._api = api
        self._shadow = shadow
        self._key = key
        self._acceptor = acceptor
        self._tunnel: Tunnel | None = None
        self._control: ControlChannel[FromLaptop, FromAgent] | None = None
        self._ended = asyncio.Event()
        self._over = asyncio.Event()
        self._agent_key: bytes | None = None

    @property
    def tunnelled(self) -> bool:
        """See the class."""
        return self._tunnel is not None and not self._tunnel.lost.done()

    async def place(self, agent: AgentSpec) -> None:
        """Add the agent's container to the pod.

        Raises:
            ClusterFailure: It is refused.
            TargetFailure: The pod is gone.
        """
        await apply(self._api, self.pod, agent, dry_run=False)
        self.agent = agent
        self._agent_key = None
        self._ended.clear()

    async def connect(self) -> None:
        """Reach the new agent, as soon as it listens; looks at its container meanwhile.

        Raises:
            Failure: The container does not start, or what answers is not its agent.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await _unless(self._start_trouble(), self._knock(_FIRST_DELAY, _LAST_DELAY))
        except TimeoutError as error:
            state = await agent_state(self._api, self.pod, self.agent)
            raise AgentFailure(
                "agent-silent",
                f"The agent in pod {self.pod.metadata.name} did not answer within {START_TIMEOUT:.0f} seconds",
                seen=f"its container: {state}",
                advice=f"see 'kubectl -n {self.pod.metadata.namespace} describe pod {self.pod.metadata.name}'",
            ) from error

    async def verify(self) -> bool:
        """Hold the agent that was reached to the key in its log; return False when the log does not tell.

        Raises:
            AgentFailure: Something else answered in the agent's place.
        """
        assert self._agent_key is not None
        return await agent_log.verify(self._api, self.pod, self.agent, self._agent_key)

    async def reconnect(self) -> None:
        """Reach the same agent again, trying ever more seldom.

        Raises:
            AgentGone: Its container has ended.
            TargetFailure: The pod is gone.
            Failure: It cannot be reached for too long, or will not have us back.
        """
        if self._ended.is_set():  # it said goodbye by itself, and only serves its last connections to their end
            await agent_state(self._api, self.pod, self.agent)
            raise AgentGone
        try:
            async with asyncio.timeout(RECONNECT_WITHIN):
                await _unless(self._end_of_agent(), self._knock(_FIRST_BACK_OFF, _LAST_BACK_OFF))
        except TimeoutError as error:
            raise AgentFailure(
                "tunnel-lost",
                f"The agent in pod {self.pod.metadata.name} could not be reached again",
                seen=f"nothing for {RECONNECT_WITHIN / 60:.0f} minutes",
                advice="the pod serves by itself; begin another session",
            ) from error

    async def attach(self, heard: Callable[[FromAgent], None]) -> None:
        """Tell the agent what to shadow, and pass on what it says until the tunnel is lost.

        Raises:
            Failure: The agent refuses, gets no tap up, or says what is not understood.
        """
        assert self._tunnel is not None
        self._over.clear()
        try:
            async with asyncio.timeout(ATTACH_TIMEOUT) as until_ready:
                await self._converse(self._tunnel, heard, until_ready)
        except TimeoutError as error:
            raise AgentFailure(
                "agent-not-ready",
                f"The agent in pod {self.pod.metadata.name} did not get its tap up within {ATTACH_TIMEOUT:.0f} seconds",
                advice=f"see '{self._logs()}'",
            ) from error
        except RemoteProtocolError as error:
            raise AgentFailure(
                "agent-protocol",
                f"The agent in pod {self.pod.metadata.name} said something that this kdev does not understand",
                seen=str(error),
                advice="use an agent image of this release: check --agent-image, or leave it out",
            ) from error
        finally:
            self._control = None
            self._tunnel.close()
            self._over.set()

    def tell_listening(self, ports: tuple[int, ...]) -> None:
        """Tell the agent which of its ports have a local process; without a tunnel it assumes none."""
        if self._control is not None:
            with suppress(ConnectionError):
                self._control.post(Listening(ports=ports))

    async def detach(self, reason: str) -> bool:
        """Ask the agent to hand everything back; return whether it said that it has.

        An agent that refuses the session, or whose tunnel breaks meanwhile, is not waited for.
        """
        if self._control is None:
            return False
        with suppress(ConnectionError, TimeoutError):
            self._control.post(Detach(reason=reason))
            async with asyncio.timeout(DETACH_TIMEOUT):
                await self._over.wait()
        return self._ended.is_set()

    def close(self) -> None:
        """End the tunnel, if there is one."""
        if self._tunnel is not None:
            self._tunnel.close()

    # ---- inside

    async def _knock(self, delay: float, longest: float) -> None:
        """Try to reach the agent until it works."""
        while True:
            try:
                self._tunnel = await self._shake_hands()
            except NotFound as error:
                raise pod_gone(self.pod, error.message) from error
            except (AgentFailure, ClusterFailure) as failure:
                if failure.explanation.reference not in _PASSING:
                    raise
            else:
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, longest)

    async def _shake_hands(self) -> Tunnel:
        from kdev.kube.port_forward import forward  # noqa: PLC0415 - 40 ms in which the agent's container starts

        tunnel = Tunnel(Role.CLIENT, self._acceptor)
        settings = self.agent.settings
        handshake = HandshakeProtocol(LaptopHandshake(self._key, settings.session_id, self._agent_key), tunnel)
        handshake.finished.add_done_callback(_retrieve)
        carrier = await forward(self._api, self.pod, settings.port, handshake)
        try:
            self._agent_key = await handshake.finished
        except BaseException:
            carrier.abort()
            raise
        return tunnel

    async def _start_trouble(self) -> None:
        raise await await_start_trouble(self._api, self.pod, self.agent)

    async def _end_of_agent(self) -> None:
        """Look whether the container has ended; an API server that cannot be reached says nothing about that."""
        while True:
            try:
                state = await agent_state(self._api, self.pod, self.agent)
                if state.terminated is not None:
                    raise AgentGone(state.terminated.reason)
            except ClusterFailure as failure:
                if failure.explanation.reference not in _PASSING:
                    raise
            await asyncio.sleep(STATUS_EVERY)

    async def _converse(self, tunnel: Tunnel, heard: Callable[[FromAgent], None], until_ready: asyncio.Timeout) -> None:
        control: ControlChannel[FromLaptop, FromAgent] = ControlChannel(FromAgent)
        with suppress(ConnectionError):
            tunnel.open(control)
            control.post(self._shadow)
            self._control = control
            async for message in control:
                match message:
                    case Refusal():
                        raise AgentFailure(message.reference, message.cause, seen=message.seen, advice=message.advice)
                    case Ready():
                        until_ready.reschedule(None)
                    case Ended():
                        self._ended.set()
                        self._over.set()
                heard(message)

    def _logs(self) -> str:
        meta = self.pod.metadata
        return f"kubectl -n {meta.namespace} logs {meta.name} -c {self.agent.container}"


def _retrieve(finished: asyncio.Future[bytes]) -> None:
    """Have asyncio know that a failure was looked at, also when its connection was given up before."""
    if not finished.cancelled():
        finished.exception()


async def _unless(trouble: Coroutine[None, None, None], wanted: Coroutine[None, None, None]) -> None:
    """Await ``wanted``, unless ``trouble`` raises before that."""
    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(trouble)
            await wanted
            watching.cancel()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from group.exceptions[0].__cause__
