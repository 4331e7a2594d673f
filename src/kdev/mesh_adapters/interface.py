"""What a mesh adapter is asked, and the values it answers with.

An adapter is one module with one object; it reads evidence and decides, without I/O. To add a mesh, write the
module and name it in ``detection.ADAPTERS``.
"""

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from kdev.tunnel.messages import PodFacts

Address = IPv4Address | IPv6Address


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket of the pod's network namespace, as /proc/net/tcp and tcp6 show it."""

    address: Address
    port: int
    uid: int


@dataclass(frozen=True)
class Chain:
    """A chain of the namespace's nf_tables ruleset; iptables-nft's are among them, iptables-legacy's are not."""

    family: str
    table: str
    name: str


@dataclass(frozen=True)
class Evidence:
    """Everything an adapter may look at."""

    pod: PodFacts
    listeners: frozenset[Listener]
    chains: frozenset[Chain]


@dataclass(frozen=True)
class Hop:
    """The packets of one tapped hop; None means that the field is not looked at.

    Attributes:
        local: True for a hop that the sidecar makes over ``lo`` (hook output); False for connections that
            arrive from outside (hook prerouting).
        source: The address the sidecar binds.
        destination: The address it dials.
        uid: Owner of the dialling socket.
        gid: Group of the dialling socket.
        mark: (value, mask) of the packet's mark.
        listener_mark: SO_MARK that the agent's listening socket needs so that its answers find their way.
        loopback_listener: Whether the redirect ends on 127.0.0.1 (hook output) or on the interface's address.
    """

    local: bool
    source: Address | None = None
    destination: Address | None = None
    uid: int | None = None
    gid: int | None = None
    mark: tuple[int, int] | None = None
    listener_mark: int | None = None
    loopback_listener: bool = True


@dataclass(frozen=True)
class Identity:
    """Where the hop says who called: the header's lower-case name and how its value is read (``xfcc``, ``plain``)."""

    header: bytes
    form: str


@dataclass(frozen=True)
class Mesh:
    """What an adapter found: all the agent needs to tap this pod.

    Attributes:
        hops: The taps to make for each port, usually one per address family.
        identity: None where the mesh tells the application nothing about the caller.
        reserved_ports: Ports of the mesh in the pod, which the agent must not listen on.
        proxy_uid: The sidecar's user, whose sockets escape the mesh; None without a sidecar.
        ready_url: Loopback URL that answers 200 once the sidecar works; None when there is none.
        warnings: One sentence each.
    """

    name: str
    hops: tuple[Hop, ...]
    identity: Identity | None
    reserved_ports: frozenset[int] = frozenset()
    proxy_uid: int | None = None
    ready_url: str | None = None
    warnings: tuple[str, ...] = field(default=())


class MeshAdapter(Protocol):
    """Recognises one mesh."""

    name: str

    def detect(self, evidence: Evidence) -> Mesh | None:
        """Return what there is to know, or None where this mesh is not in the pod.

        Raises:
            TargetFailure: The mesh is there but cannot be tapped, or is only half there.
        """
        ...
