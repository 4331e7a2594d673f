"""The agent's end of a tunnel without a tap: says what a test wants, and keeps what it is told."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

from nacl.signing import SigningKey

from kdev.tunnel.control import ControlChannel, control_acceptor
from kdev.tunnel.handshake.agent import AgentHandshake
from kdev.tunnel.handshake.protocol import HandshakeProtocol
from kdev.tunnel.messages import (
    Counts,
    Detach,
    Ended,
    FromAgent,
    FromLaptop,
    Listening,
    Message,
    Ready,
    Refusal,
    Shadow,
)
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.yamux.connection import Role
from tests.unit.kube.fake_cluster import FakeCluster


@dataclass
class FakeAgent:
    """Serves every agent container that the cluster was patched with: the laptop's first words say which.

    Attributes:
        told: What laptops said.
        answers: What a Shadow is answered with.
        refusing: Pods in which Bob was first.
        tunnels: All that were made, in order.
        keys: Of each agent, by its session's identifier.
        poses: Whether the logs tell other keys.
    """

    cluster: FakeCluster
    told: list[Message] = field(default_factory=list)
    answers: tuple[FromAgent, ...] = (Ready(mesh="istio", direct=2, warnings=("a warning",)),)
    refusing: set[str] = field(default_factory=set)
    tunnels: list[Tunnel] = field(default_factory=list)
    keys: dict[str, SigningKey] = field(default_factory=dict)
    poses: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def accept(self) -> asyncio.Protocol:
        """The protocol of one connection from a laptop."""
        return _FirstWords(self.serve)

    def serve(self, session: str) -> asyncio.Protocol:
        """The protocol of a connection to the agent of a session."""
        environment = self._environment(session)
        channel: ControlChannel[FromAgent, FromLaptop] = ControlChannel(FromLaptop)
        tunnel = Tunnel(Role.SERVER, control_acceptor(channel))
        self.tunnels.append(tunnel)
        laptop_key = base64.b64decode(environment["KDEV_PUBLIC_KEY"])
        handshake = AgentHandshake(self._key(session), session, laptop_key, environment["KDEV_OWNER"])
        protocol = HandshakeProtocol(handshake, tunnel)
        task = asyncio.get_running_loop().create_task(self._serve(protocol, channel, tunnel))
        self.tasks.add(task)
        return protocol

    def _key(self, session: str) -> SigningKey:
        """The agent's key, which its container's log tells."""
        if session not in self.keys:
            self.keys[session] = SigningKey.generate()
            told = bytes(32) if self.poses else bytes(self.keys[session].verify_key)
            line = f"2026-01-01 00:00:00,000 kdev.agent.laptops INFO public key {told.hex()}\n"
            self.cluster.logs[f"kdev-{session}"] = line.encode()
        return self.keys[session]

    def _environment(self, session: str) -> dict[str, str]:
        containers = [container for patch in self.cluster.patches for container in patch["spec"]["ephemeralContainers"]]
        (container,) = [one for one in containers if one["name"] == f"kdev-{session}"]
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
                    case Shadow(pod=pod) if pod.name in self.refusing:
                        channel.post(Refusal(reference="taken", cause="Bob shadows it", seen="", advice="ask Bob"))
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


class _FirstWords(asyncio.Protocol):
    """Reads which session a laptop wants to join, and lets that agent's protocol begin."""

    def __init__(self, serve: Callable[[str], asyncio.Protocol]) -> None:
        self._serve = serve
        self._data = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if found := re.search(rb'"session":"(\w+)".*}', self._data):
            protocol = self._serve(found[1].decode())
            self._transport.set_protocol(protocol)
            protocol.connection_made(self._transport)
            protocol.data_received(self._data)


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
