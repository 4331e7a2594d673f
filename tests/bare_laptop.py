"""The laptop's side of a session without Kubernetes: the tunnel is a TCP connection to the agent's port.

Run as ``python -m tests.bare_laptop JSON`` in the pod's namespace; prints what the agent says, one message a line.
SIGTERM detaches.
"""

import asyncio
import json
import signal
import sys

import msgspec
import uvloop
from nacl.signing import SigningKey

from kdev.session.relay import LocalRelay
from kdev.tunnel.control import ControlChannel
from kdev.tunnel.handshake.laptop import LaptopHandshake
from kdev.tunnel.handshake.protocol import HandshakeProtocol
from kdev.tunnel.messages import Detach, FromAgent, FromLaptop, Listening, Ready, Shadow
from kdev.tunnel.stream_accepting import accept_streams
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.yamux.connection import Role


async def main(told: dict[str, object]) -> None:
    """Shadow until told to stop, or until the agent ends."""
    loop = asyncio.get_running_loop()
    ports = {int(pod): int(local) for pod, local in told["ports"].items()}  # type: ignore[attr-defined]
    async with asyncio.TaskGroup() as group:
        relay = LocalRelay(ports, group, lambda answered: None)
        tunnel = Tunnel(Role.CLIENT, accept_streams(relay.serve))
        handshake = LaptopHandshake(SigningKey(bytes.fromhex(str(told["key"]))), "test")
        protocol = HandshakeProtocol(handshake, tunnel)
        await loop.create_connection(lambda: protocol, "127.0.0.1", int(str(told["port"])))
        await protocol.finished
        control: ControlChannel[FromLaptop, FromAgent] = ControlChannel(FromAgent)
        tunnel.open(control)
        loop.add_signal_handler(signal.SIGTERM, lambda: control.post(Detach(reason="told to")))
        control.post(msgspec.convert(told["shadow"], Shadow))
        async for message in control:
            if isinstance(message, Ready):
                control.post(Listening(ports=tuple(ports)))
                print("ready", end=" ")
            print(msgspec.json.encode(message).decode(), flush=True)
        tunnel.close()


if __name__ == "__main__":
    said = json.loads(sys.argv[1])
    (uvloop.run if said["loop"] == "uvloop" else asyncio.run)(main(said))
