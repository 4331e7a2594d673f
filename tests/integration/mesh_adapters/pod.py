"""A pod's namespace as a program: prints who answered each connection that was made in it, as JSON.

It is started in a network namespace of its own, which ends with it. The application answers ``app``, the agent behind
the tap ``agent``, the sidecar's capture ports ``sidecar``.
"""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import ip_address

import msgspec

from kdev.agent.arrivals import Arrivals
from kdev.agent.listeners import listening
from kdev.agent.self_test import self_test
from kdev.agent.tap import Tap
from kdev.agent.tapping import recognise
from kdev.tunnel.messages import PodFacts

POD_IP, CLIENT_IP, PORT = "10.231.0.2", "10.9.9.9", 8080
IP_TRANSPARENT = 19  # linux/in.h


class Plan(msgspec.Struct, frozen=True):
    """What to make, and which connections to try.

    Attributes:
        pod: The facts the laptop would send.
        setup: Shell commands that make the mesh's rules; ``rules`` is their standard input.
        listeners: The sidecar's ports, and the user who owns them.
        tries: By name: ``uid``, ``gid``, ``mark``, ``source``, ``destination`` of a connection to the application.
    """

    pod: PodFacts
    setup: str
    rules: str
    listeners: tuple[int, ...]
    uid: int
    tries: dict[str, dict[str, int | str]]


class Says(asyncio.Protocol):
    """Says its name to whoever connects, and closes."""

    def __init__(self, name: bytes) -> None:
        self._name = name

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say it."""
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._name)
        transport.close()


@contextlib.contextmanager
def owner(uid: int, gid: int) -> Iterator[None]:
    """Sockets made meanwhile belong to this user and group."""
    os.setegid(gid)
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


async def who_answers(how: dict[str, int | str]) -> str:
    """Make one connection and read who is at its other end."""
    destination = str(how.get("destination", POD_IP))
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    with owner(int(how.get("uid", 0)), int(how.get("gid", 0))):
        one = socket.socket(family, socket.SOCK_STREAM)
    with one:
        one.setblocking(False)
        if mark := how.get("mark"):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, int(mark))
        if source := how.get("source"):
            if source == CLIENT_IP:
                one.setsockopt(socket.SOL_IP, IP_TRANSPARENT, 1)
            one.bind((str(source), 0))
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(3):
                await loop.sock_connect(one, (destination, PORT))
                return (await loop.sock_recv(one, 16)).decode()
        except OSError as error:
            return type(error).__name__


async def main(plan: Plan) -> dict[str, object]:
    """Listen as application and sidecar do, tap the pod as the agent does, and try."""
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: Says(b"app"), None, PORT)
    for port in plan.listeners:
        with owner(plan.uid, 1337):
            listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
        await loop.create_server(lambda: Says(b"sidecar"), sock=listener)
    mesh = recognise(plan.pod)
    arrivals = Arrivals(lambda: Says(b"agent"))
    async with listening(mesh, arrivals.protocol) as port:
        with Tap(mesh.hops, [PORT], port):
            for hop in mesh.hops:
                await self_test(hop, ip_address(POD_IP), PORT, arrivals)
            tapped = {name: await who_answers(how) for name, how in plan.tries.items()}
        dropped = {name: await who_answers(how) for name, how in plan.tries.items()}
    return {"mesh": mesh.name, "tapped": tapped, "dropped": dropped}


if __name__ == "__main__":
    wanted = msgspec.json.decode(sys.argv[1], type=Plan)
    subprocess.run(["sh", "-ec", wanted.setup], input=wanted.rules, text=True, check=True)
    sys.stdout.write(json.dumps(asyncio.run(main(wanted))))
