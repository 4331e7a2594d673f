"""Before "ready": a connection sent the way the sidecar sends it must arrive at the agent.

The test proves the whole chain (rule, priority among the mesh's own chains, listener, its mark) on the pod at hand
instead of trusting the adapter. It sends no byte, so an application that it reaches because the tap is wrong sees a
connection that opens and closes, as from a TCP health probe.
"""

import asyncio
import contextlib
import os
import socket
from collections.abc import Iterator

from kdev.agent.arrivals import Arrivals
from kdev.errors import AgentFailure
from kdev.mesh_adapters.interface import Address, Hop

ARRIVES_WITHIN = 2.0
"""Seconds; over loopback it takes well under a millisecond, so this only bounds a wrong tap."""


async def self_test(hop: Hop, pod: Address, port: int, arrivals: Arrivals) -> None:
    """Connect as the sidecar would and await the arrival.

    A hop that comes from outside the pod cannot be imitated from inside, and one of another address family than the
    pod's first address has no destination that is known: neither is tested.

    Raises:
        AgentFailure: The connection did not arrive.
    """
    destination = hop.destination or pod
    if not hop.local or (hop.source is not None and hop.source.version != destination.version):
        return
    with _socket_of_sidecar(hop, destination) as connection:
        source = connection.getsockname()
        with arrivals.expect(source) as arrived:
            try:
                async with asyncio.timeout(ARRIVES_WITHIN):
                    await asyncio.get_running_loop().sock_connect(connection, (str(destination), port))
                    await arrived
            except (OSError, TimeoutError) as error:
                raise AgentFailure(
                    "self-test-missed",
                    f"A test connection to port {port}, sent as the sidecar sends it, did not reach the agent",
                    seen=f"{type(error).__name__} {error}".strip(),
                    advice="nothing was changed for your callers; run with KDEV_DEBUG=1 and report the mesh's version",
                ) from error


@contextlib.contextmanager
def _socket_of_sidecar(hop: Hop, destination: Address) -> Iterator[socket.socket]:
    family = socket.AF_INET if destination.version == 4 else socket.AF_INET6
    with _as_owner(hop.uid, hop.gid):
        connection = socket.socket(family, socket.SOCK_STREAM)
    with connection:
        connection.setblocking(False)
        if hop.mark is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, hop.mark[0])
        connection.bind((str(hop.source or destination), 0))
        yield connection


@contextlib.contextmanager
def _as_owner(uid: int | None, gid: int | None) -> Iterator[None]:
    """The kernel matches a packet's owner by who created its socket, so only the creation needs the identity."""
    before = os.geteuid(), os.getegid()
    try:
        if gid is not None:
            os.setegid(gid)
        if uid is not None:
            os.seteuid(uid)
        yield
    finally:
        os.seteuid(before[0])
        os.setegid(before[1])
