"""The agent's end of a tunnel without a tap: says what a test wants, and keeps what it is told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from nacl.signing import SigningKey

from kdev.tunnel.control import ControlChannel, control_acceptor
from kdev.tunnel.handshake.agent import AgentHandshake
from kdev.tunnel.handshake.protocol import HandshakeProtocol
from kdev.tunnel.messages import Counts, Detach, Ended, FromAgent, FromLaptop, Listening, Message, Ready, Shadow
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.yamux.connection import Role
from tests.unit.kube.fake_cluster import FakeCluster


@dataclass
class FakeAgent:
    """Serves whichever agent container the cluster was patched with last.

    Attributes:
        told: What laptops said.
        answers: What a Shadow is answered with.
        tunnels: All that were made, in order.
    """

    cluster: FakeCluster
    told: list[Message] = field(default_factory=list)
    answers: tuple[FromAgent, ...] = (Ready(mesh="istio", direct=2, warnings=("a warning",)),)
    tunnels: list[Tunnel] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self) -> asyncio.Protocol:
        """The protocol of one connection from a laptop."""
        environment = self._environment()
        import base64

        channel: ControlChannel[FromAgent, FromLaptop] = ControlChannel(FromLaptop)
        tunnel = Tunnel(Role.SERVER, control_acceptor(channel))
        self.tunnels.append(tunnel)
        handshake = AgentHandshake(
            SigningKey.generate(),
            environment["KDEV_SESSION_ID"],
            base64.b64decode(environment["KDEV_PUBLIC_KEY"]),
            environment["KDEV_OWNER"],
        )
        protocol = HandshakeProtocol(handshake, tunnel)
        task = asyncio.get_running_loop().create_task(self._serve(protocol, channel, tunnel))
        self.tasks.add(task)
        return protocol

    def _environment(self) -> dict[str, str]:
        container = self.cluster.patches[-1]["spec"]["ephemeralContainers"][0]
        return {variable["name"]: variable["value"] for variable in container["env"]}

    async def _serve(
        self, protocol: HandshakeProtocol, channel: "ControlChannel[FromAgent, FromLaptop]", tunnel: Tunnel
    ) -> None:
        await protocol.finished
        try:
            async for message in channel:
                self.told.append(message)
                self.changed.set()
                match message:
                    case Shadow():
                        for answer in self.answers:
                            channel.post(answer)
                    case Detach():
                        channel.post(Counts(matched=3, mirrored=2, dropped=1))
                        channel.post(Ended(reason=message.reason))
        except ConnectionError:
            pass
        tunnel.close()

    async def until(self, holds: Callable[[Message], bool]) -> Message:
        """The first message that it holds for, as soon as there is one."""
        async with asyncio.timeout(10):
            while True:
                for message in self.told:
                    if holds(message):
                        return message
                self.changed.clear()
                await self.changed.wait()

    async def until_listening(self, *ports: int) -> None:
        """Wait until the laptop has said that these ports have a process."""
        await self.until(lambda message: isinstance(message, Listening) and message.ports == ports)


@asynccontextmanager
async def serve_agent(cluster: FakeCluster) -> AsyncIterator[FakeAgent]:
    """Listen where the cluster forwards the agent's port to."""
    agent = FakeAgent(cluster)
    server = await asyncio.get_running_loop().create_server(agent.accept, "127.0.0.1", 0)
    cluster.agent = server.sockets[0].getsockname()[1]
    try:
        async with server:
            yield agent
    finally:
        for tunnel in agent.tunnels:
            tunnel.close()
        for task in agent.tasks:
            task.cancel()
        await asyncio.gather(*agent.tasks, return_exceptions=True)
