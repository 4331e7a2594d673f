"""The agent's door: who connects to its port must prove to be the laptop that it was started for."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from nacl.signing import SigningKey

from kdev.agent.settings import Settings
from kdev.errors import AgentFailure
from kdev.tunnel.control import ControlChannel, control_acceptor
from kdev.tunnel.handshake.agent import AgentHandshake
from kdev.tunnel.handshake.protocol import HandshakeProtocol
from kdev.tunnel.messages import FromAgent, FromLaptop
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.yamux.connection import Role

_log = logging.getLogger(__name__)

BACKLOG = 16
"""Connections waiting to be accepted: there is one laptop, and others that may knock."""

Control = ControlChannel[FromAgent, FromLaptop]


@dataclass(frozen=True, eq=False)
class Laptop:
    """An authenticated laptop: its tunnel, and the control channel on the tunnel's first stream."""

    tunnel: Tunnel
    control: Control


class Laptops:
    """Authenticated laptops as they come: the first, and after a break of the tunnel the same one again."""

    def __init__(self, settings: Settings, key: SigningKey) -> None:
        self._settings = settings
        self._key = key
        self._arrived: asyncio.Queue[Laptop] = asyncio.Queue()
        self.server: asyncio.Server | None = None

    def close_door(self) -> None:
        """Let nobody in any more; who is in stays."""
        if self.server is not None:
            self.server.close()

    async def next(self) -> Laptop:
        """Wait for the next one; the one before is then of no more use."""
        return await self._arrived.get()

    def door(self) -> HandshakeProtocol:
        """Make the protocol of one accepted connection: a handshake, then the tunnel."""
        settings = self._settings
        control = Control(FromLaptop)
        tunnel = Tunnel(Role.SERVER, control_acceptor(control))
        handshake = AgentHandshake(self._key, settings.session_id, settings.laptop_key, settings.owner)
        door = HandshakeProtocol(handshake, tunnel)
        door.finished.add_done_callback(lambda finished: self._finished(finished, Laptop(tunnel, control)))
        return door

    def _finished(self, finished: asyncio.Future[bytes], laptop: Laptop) -> None:
        failure = finished.exception()
        if isinstance(failure, AgentFailure):
            _log.warning("refused: %s", failure)
        elif failure is None:
            self._arrived.put_nowait(laptop)
        else:
            raise failure


@contextlib.asynccontextmanager
async def open_door(settings: Settings) -> AsyncIterator[Laptops]:
    """Listen on the pod's loopback, which only port-forward and the pod's own containers reach.

    Raises:
        AgentFailure: The port is taken.
    """
    key = SigningKey.generate()
    laptops = Laptops(settings, key)
    try:
        server = await asyncio.get_running_loop().create_server(
            laptops.door, "127.0.0.1", settings.port, backlog=BACKLOG
        )
    except OSError as error:
        raise AgentFailure(
            "agent-port-taken",
            f"Port {settings.port} of the pod's loopback is taken",
            seen=str(error),
            advice="run the same command again: kdev chooses another port",
        ) from error
    _log.info("public key %s", bytes(key.verify_key).hex())
    laptops.server = server
    try:
        yield laptops
    finally:
        laptops.close_door()
