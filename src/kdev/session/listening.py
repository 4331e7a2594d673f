"""Which local ports accept connections: until the developer's process listens, its requests stay on the pod.

No system tells when a socket begins to listen, so this looks from time to time: on Linux into the kernel's table of
sockets, elsewhere by connecting, which the process sees as connections that open and close.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from pathlib import Path

from kdev.mesh_adapters.proc_net import parse_listeners

INTERVAL = 0.25
"""Seconds between two looks. A person who restarts a program does not notice it, and the kernel's table costs a
fraction of a millisecond to read."""

CONNECT_TIMEOUT = 0.2
"""Seconds for a connection over loopback, which takes far less than a millisecond or is not accepted."""

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_LOOPBACK = ("127.0.0.1", "::1")

Accepting = Callable[[frozenset[int]], Awaitable[frozenset[int]]]


async def watch_listening(
    ports: Collection[int], *, interval: float = INTERVAL, accepting: Accepting | None = None
) -> AsyncIterator[frozenset[int]]:
    """Yield which of the local ``ports`` accept connections on loopback: first as it is, then each time it changed."""
    look = accepting or (_from_tables if sys.platform == "linux" else _by_connecting)
    wanted = frozenset(ports)
    before: frozenset[int] | None = None
    while True:
        now = await look(wanted)
        if now != before:
            before = now
            yield now
        await asyncio.sleep(interval)


async def _from_tables(ports: frozenset[int]) -> frozenset[int]:
    listeners = parse_listeners(*(table.read_text() for table in _TABLES if table.exists()))
    return ports & {
        listener.port for listener in listeners if listener.address.is_unspecified or listener.address.is_loopback
    }


async def _by_connecting(ports: frozenset[int]) -> frozenset[int]:
    async with asyncio.TaskGroup() as tasks:
        looks = {port: tasks.create_task(_accepts(port)) for port in ports}
    return frozenset(port for port, look in looks.items() if look.result())


async def _accepts(port: int) -> bool:
    for address in _LOOPBACK:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                _, writer = await asyncio.open_connection(address, port)
        except OSError:
            continue
        writer.close()
        return True
    return False
