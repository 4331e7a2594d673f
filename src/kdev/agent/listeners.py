"""The sockets on which tapped connections arrive: one for each address a hop ends on, all with the same port."""

import asyncio
import contextlib
import errno
import socket
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

from kdev.mesh_adapters.interface import Hop, Mesh

BACKLOG = 1024
"""Connections waiting to be accepted. When the tap goes up, a sidecar may reconnect its whole pool at once (Envoy's
default bound is 1024 connections for each upstream)."""

_ATTEMPTS = 16
"""The kernel chooses the port for the first address; another process may have it on the second one."""

_NO_IPV6 = frozenset((errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL))
"""What binding an IPv6 address answers where the kernel or the namespace has none; nothing arrives there then."""


@dataclass(frozen=True, slots=True)
class _Place:
    address: str
    mark: int | None

    @property
    def family(self) -> socket.AddressFamily:
        return socket.AF_INET6 if ":" in self.address else socket.AF_INET


@contextlib.asynccontextmanager
async def listening(mesh: Mesh, factory: Callable[[], asyncio.Protocol]) -> AsyncIterator[int]:
    """Accept tapped connections until left; the value is the port to redirect to.

    Raises:
        OSError: No port is free on all addresses.
    """
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        sockets = _bind(mesh)
        for bound in sockets:
            server = await loop.create_server(factory, sock=bound, backlog=BACKLOG)
            await stack.enter_async_context(server)
        yield sockets[0].getsockname()[1]


def _bind(mesh: Mesh) -> list[socket.socket]:
    places = sorted({place for hop in mesh.hops for place in _places(hop)}, key=lambda place: place.address)
    for _ in range(_ATTEMPTS):
        bound = _bind_all(places)
        if bound and bound[0].getsockname()[1] not in mesh.reserved_ports:
            return bound
        _close(bound)
    raise OSError(f"no port is free on all of {', '.join(place.address for place in places)}")


def _bind_all(places: Iterable[_Place]) -> list[socket.socket]:
    """Bind all places to one port; none where the port is taken on one of them."""
    bound: list[socket.socket] = []
    for place in places:
        try:
            bound.append(_listener(place, bound[0].getsockname()[1] if bound else 0))
        except OSError as error:
            if place.family == socket.AF_INET6 and error.errno in _NO_IPV6:
                continue
            _close(bound)
            return []
    return bound


def _listener(place: _Place, port: int) -> socket.socket:
    listener = socket.socket(place.family, socket.SOCK_STREAM)
    try:
        if place.family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if place.mark is not None:
            # Accepted sockets inherit it, and it selects the route by which their answers find the client.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, place.mark)
        listener.bind((place.address, port))
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _places(hop: Hop) -> list[_Place]:
    """Where the kernel leads the hop's connections: loopback, or the address of the interface they came in by."""
    named = next((a.version for a in (hop.source, hop.destination) if a is not None), None)
    by_version = {4: "127.0.0.1", 6: "::1"} if hop.loopback_listener else {4: "0.0.0.0", 6: "::"}  # noqa: S104
    return [_Place(address, hop.listener_mark) for version, address in by_version.items() if named in (None, version)]


def _close(sockets: Iterable[socket.socket]) -> None:
    for one in sockets:
        one.close()
