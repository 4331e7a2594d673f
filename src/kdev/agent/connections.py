"""Which connections to the application bypass the tap: those that were there before it.

Seen from the sidecar, a direct and a redirected connection look alike. But both ends of a connection within the pod
are sockets of the same namespace, and only a direct one's two ends mirror each other; a redirected one's far end
belongs to the agent's listener. So one list of sockets tells, without connection tracking.
"""

import contextlib
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from kdev.mesh_adapters.interface import Hop
from kdev.netlink.sock_diag import Endpoint, SockDiag, State, TcpSocket

LIVING = frozenset(State) - {State.TIME_WAIT, State.CLOSE, State.LISTEN, State.SYN_SENT}
"""States in which packets with data of a connection may still come; after them its ports may be used anew."""


class Connection(NamedTuple):
    """A connection to the application; ``client`` is the sidecar's end, or without a mesh the caller's."""

    client: Endpoint
    app: Endpoint


def look(diagnostics: SockDiag, ports: Iterable[int]) -> list[TcpSocket]:
    """Both ends of all connections to the application's ports.

    Raises:
        NetlinkError: The kernel refused.
    """
    sockets = []
    for port in ports:
        sockets += diagnostics.tcp_sockets(LIVING, local_port=port)
        sockets += diagnostics.tcp_sockets(LIVING, remote_port=port)
    return sockets


def own_sockets() -> frozenset[int]:
    """The inodes of this process's sockets, which are never the sidecar's."""
    inodes = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor that lists the directory is gone by then
            status = entry.stat()
            if stat.S_ISSOCK(status.st_mode):
                inodes.add(status.st_ino)
    return frozenset(inodes)


def direct_connections(
    sockets: Iterable[TcpSocket], hops: Iterable[Hop], ports: frozenset[int], own: frozenset[int] = frozenset()
) -> frozenset[Connection]:
    """The established connections of the hops that do not pass the agent.

    Args:
        sockets: From ``look``.
        hops: What the sidecar's connections look like.
        ports: The application's.
        own: The agent's own sockets, by inode: its connections to the application look like the sidecar's where
            only a group tells them apart, which the kernel does not list.
    """
    established = [s for s in sockets if s.state == State.ESTABLISHED]
    ends = {(s.local, s.remote) for s in established}
    found: set[Connection] = set()
    for hop in hops:
        for s in established:
            both_here = (s.remote, s.local) in ends
            if hop.local and both_here and s.remote[1] in ports and s.inode not in own and _is_of(hop, s):
                found.add(Connection(s.local, s.remote))
            elif not hop.local and not both_here and s.local[1] in ports:
                found.add(Connection(s.remote, s.local))
    return frozenset(found)


def living_connections(sockets: Iterable[TcpSocket], ports: frozenset[int]) -> frozenset[Connection]:
    """All connections of which any end lives, established or closing."""
    found = set()
    for s in sockets:
        if s.local[1] in ports:
            found.add(Connection(s.remote, s.local))
        if s.remote[1] in ports:
            found.add(Connection(s.local, s.remote))
    return frozenset(found)


def _is_of(hop: Hop, client: TcpSocket) -> bool:
    """Whether the sidecar may have made this socket."""
    return (
        (hop.source is None or client.local[0] == hop.source.packed)
        and (hop.destination is None or client.remote[0] == hop.destination.packed)
        and (hop.uid is None or client.uid == hop.uid)
        and (hop.mark is None or client.mark & hop.mark[1] == hop.mark[0])
    )
