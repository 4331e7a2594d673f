"""Links, addresses, routes and routing rules (rtnetlink(7), include/uapi/linux/rtnetlink.h, if_link.h).

Everything acts on the network namespace that the ``Routes`` was made in or for, also when links are named: names
are looked up in that namespace and not in the caller's.
"""

import errno
import socket
import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
    ip_interface,
)

from kdev.netlink.attributes import Message, attribute, decode_attributes, decode_text, native32, nested, text
from kdev.netlink.sockets import CREATE, EXCLUSIVE, ClosedOnExit, Family, NetlinkError, NetlinkSocket, Request

Address = IPv4Address | IPv6Address
Interface = IPv4Interface | IPv6Interface
Network = IPv4Network | IPv6Network

_NEWLINK, _DELLINK, _GETLINK = 16, 17, 18
_NEWADDR, _GETADDR = 20, 22
_NEWROUTE = 24
_NEWRULE = 32

_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO, _IFLA_NET_NS_FD = 1, 3, 4, 10, 18, 28
_INFO_KIND, _INFO_DATA, _VETH_INFO_PEER = 1, 2, 1
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_RTA_DST, _RTA_OIF, _RTA_GATEWAY, _RTA_PREFSRC, _RTA_TABLE = 1, 4, 5, 7, 15
_FRA_PRIORITY, _FRA_FWMARK, _FRA_TABLE, _FRA_FWMASK = 6, 10, 15, 16

_UP = 1
_PROTOCOL_STATIC = 4
_TO_TABLE = 1
_NO_DUPLICATE_DETECTION = 0x02

_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBI")
_ROUTE = struct.Struct("=BBBBBBBBI")


class RouteType(IntEnum):
    """What becomes of packets for a route (RTN_*)."""

    UNICAST = 1
    LOCAL = 2
    BLACKHOLE = 6
    UNREACHABLE = 7


class Scope(IntEnum):
    """How far away a route's destination is (RT_SCOPE_*)."""

    UNIVERSE = 0
    LINK = 253
    HOST = 254


class RoutingTable(IntEnum):
    """The tables that every namespace has."""

    MAIN = 254
    LOCAL = 255


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface; ``master`` is the index of the bridge it belongs to, 0 for none."""

    index: int
    name: str
    up: bool
    master: int
    mac: bytes


class Routes(ClosedOnExit):
    """Requests about links, addresses and routes of one network namespace.

    All methods raise ``NetlinkError`` where the kernel refuses; its ``errno`` tells what (EEXIST, ENODEV, EPERM).

    Args:
        namespace: Descriptor of the namespace; None for the calling thread's own.
    """

    def __init__(self, *, namespace: int | None = None) -> None:
        self._netlink = NetlinkSocket(Family.ROUTE, namespace=namespace)

    def close(self) -> None:
        """Close the socket; what was made stays."""
        self._netlink.close()

    # ---- links

    def links(self) -> list[Link]:
        """All links, in the order of their indexes."""
        listed = self._netlink.dump(Request(_GETLINK, 0, _LINK.pack(0, 0, 0, 0, 0), "list links"))
        return sorted((_decode_link(message) for message in listed), key=lambda link: link.index)

    def link(self, name: str) -> Link:
        """The link of that name.

        Raises:
            NetlinkError: With ENODEV where there is none.
        """
        for link in self.links():
            if link.name == name:
                return link
        raise NetlinkError(errno.ENODEV, f"find link {name}")

    def add_bridge(self, name: str) -> None:
        """Create a bridge, which is down."""
        kind = nested(_IFLA_LINKINFO, attribute(_INFO_KIND, text("bridge")))
        self._add_link(attribute(_IFLA_IFNAME, text(name)) + kind, f"add bridge {name}")

    def add_veth(
        self,
        name: str,
        *,
        peer: str,
        peer_namespace: int | None = None,
        mac: bytes | None = None,
        peer_mac: bytes | None = None,
    ) -> None:
        """Create a pair of links, both down.

        Args:
            name: The end in this namespace.
            peer: The other end.
            peer_namespace: Descriptor of the namespace that the other end is born in; None for this one.
            mac: Six bytes; None lets the kernel choose.
            peer_mac: The same for the other end.
        """
        other = _LINK.pack(0, 0, 0, 0, 0) + attribute(_IFLA_IFNAME, text(peer))
        if peer_namespace is not None:
            other += attribute(_IFLA_NET_NS_FD, native32(peer_namespace))
        if peer_mac is not None:
            other += attribute(_IFLA_ADDRESS, peer_mac)
        attributes = attribute(_IFLA_IFNAME, text(name))
        if mac is not None:
            attributes += attribute(_IFLA_ADDRESS, mac)
        data = nested(_INFO_DATA, nested(_VETH_INFO_PEER, other))
        attributes += nested(_IFLA_LINKINFO, attribute(_INFO_KIND, text("veth")), data)
        self._add_link(attributes, f"add veth {name} with peer {peer}")

    def set_up(self, name: str) -> None:
        """Bring a link up."""
        self._change_link(name, b"", f"set {name} up", flags=_UP)

    def set_master(self, name: str, bridge: str) -> None:
        """Make a link a port of a bridge."""
        master = attribute(_IFLA_MASTER, native32(self.link(bridge).index))
        self._change_link(name, master, f"set master {bridge} of {name}")

    def set_mtu(self, name: str, mtu: int) -> None:
        """Change the largest packet that a link takes, in bytes."""
        self._change_link(name, attribute(_IFLA_MTU, native32(mtu)), f"set mtu {mtu} of {name}")

    def rename(self, name: str, new_name: str) -> None:
        """Rename a link, which must be down on kernels before 6.2."""
        self._change_link(name, attribute(_IFLA_IFNAME, text(new_name)), f"rename {name} to {new_name}")

    def delete_link(self, name: str) -> None:
        """Delete a link; of a veth pair both ends go."""
        body = _LINK.pack(0, 0, self.link(name).index, 0, 0)
        self._netlink.request(Request(_DELLINK, 0, body, f"delete link {name}"))

    def _add_link(self, attributes: bytes, what: str) -> None:
        body = _LINK.pack(0, 0, 0, 0, 0) + attributes
        self._netlink.request(Request(_NEWLINK, CREATE | EXCLUSIVE, body, what))

    def _change_link(self, name: str, attributes: bytes, what: str, *, flags: int = 0) -> None:
        body = _LINK.pack(0, 0, self.link(name).index, flags, flags) + attributes
        self._netlink.request(Request(_NEWLINK, 0, body, what))

    # ---- addresses

    def addresses(self, name: str) -> list[Interface]:
        """The addresses of a link with their prefix lengths."""
        index = self.link(name).index
        listed = self._netlink.dump(Request(_GETADDR, 0, _ADDRESS.pack(0, 0, 0, 0, 0), "list addresses"))
        return [_decode_address(m) for m in listed if _ADDRESS.unpack_from(m.body)[4] == index]

    def add_address(self, name: str, address: Interface) -> None:
        """Give a link an address; IPv6 ones skip duplicate detection, during which they could not be a source yet."""
        flags = _NO_DUPLICATE_DETECTION if address.version == 6 else 0
        body = _ADDRESS.pack(_family(address), address.network.prefixlen, flags, 0, self.link(name).index)
        body += attribute(_IFA_LOCAL, address.packed) + attribute(_IFA_ADDRESS, address.packed)
        self._netlink.request(Request(_NEWADDR, CREATE | EXCLUSIVE, body, f"add address {address} to {name}"))

    # ---- routes and rules

    def add_route(
        self,
        destination: Network,
        *,
        gateway: Address | None = None,
        link: str | None = None,
        source: Address | None = None,
        kind: RouteType = RouteType.UNICAST,
        table: int = RoutingTable.MAIN,
    ) -> None:
        """Lead packets for a network somewhere.

        Args:
            destination: The network; ``0.0.0.0/0`` or ``::/0`` for all.
            gateway: The next hop; None for a destination that the link reaches itself.
            link: The outgoing link; None lets the gateway decide.
            source: The address that local programs get when they bound none.
            kind: What becomes of the packets.
            table: The routing table to put the route in.
        """
        body = _ROUTE.pack(
            _family(destination), destination.prefixlen, 0, 0, 0, _PROTOCOL_STATIC, _scope(kind, gateway), kind, 0
        )
        body += attribute(_RTA_DST, destination.network_address.packed) + attribute(_RTA_TABLE, native32(table))
        if gateway is not None:
            body += attribute(_RTA_GATEWAY, gateway.packed)
        if link is not None:
            body += attribute(_RTA_OIF, native32(self.link(link).index))
        if source is not None:
            body += attribute(_RTA_PREFSRC, source.packed)
        self._netlink.request(Request(_NEWROUTE, CREATE | EXCLUSIVE, body, f"add route {destination}"))

    def add_default_route(self, gateway: Address) -> None:
        """Lead everything that has no route of its own to a gateway."""
        everything = IPv4Network("0.0.0.0/0") if gateway.version == 4 else IPv6Network("::/0")
        self.add_route(everything, gateway=gateway)

    def add_mark_rule(self, version: int, mark: int, *, table: int, mask: int = 0xFFFFFFFF, priority: int = 0) -> None:
        """Have packets with a mark look up a table of their own.

        Args:
            version: 4 or 6, the packets' IP version.
            mark: The mark under ``mask``.
            table: The routing table to look up.
            mask: The bits of the mark that count.
            priority: The rule's place, lower first; 0 lets the kernel put it before all others.
        """
        family = socket.AF_INET if version == 4 else socket.AF_INET6
        body = _ROUTE.pack(family, 0, 0, 0, 0, 0, 0, _TO_TABLE, 0)
        body += attribute(_FRA_FWMARK, native32(mark)) + attribute(_FRA_FWMASK, native32(mask))
        body += attribute(_FRA_TABLE, native32(table))
        if priority:
            body += attribute(_FRA_PRIORITY, native32(priority))
        self._netlink.request(Request(_NEWRULE, CREATE | EXCLUSIVE, body, f"add rule for mark {mark:#x}"))


def _scope(kind: RouteType, gateway: Address | None) -> Scope:
    """A next hop must be nearer than its destination, so a route without one has a narrower scope."""
    if kind == RouteType.LOCAL:
        return Scope.HOST
    return Scope.LINK if gateway is None and kind == RouteType.UNICAST else Scope.UNIVERSE


def _family(address: Interface | Network) -> int:
    return socket.AF_INET if address.version == 4 else socket.AF_INET6


def _decode_link(message: Message) -> Link:
    _, _, index, flags, _ = _LINK.unpack_from(message.body)
    attributes = decode_attributes(message.body, _LINK.size)
    master = attributes.get(_IFLA_MASTER, bytes(4))
    return Link(
        index=index,
        name=decode_text(attributes.get(_IFLA_IFNAME, b"")),
        up=bool(flags & _UP),
        master=int(struct.unpack("=I", master)[0]),
        mac=attributes.get(_IFLA_ADDRESS, b""),
    )


def _decode_address(message: Message) -> Interface:
    prefix_length = _ADDRESS.unpack_from(message.body)[1]
    attributes = decode_attributes(message.body, _ADDRESS.size)
    # A point-to-point link's IFA_ADDRESS is the far end; IFA_LOCAL, where it is given, is always ours.
    packed = attributes.get(_IFA_LOCAL) or attributes[_IFA_ADDRESS]
    return ip_interface(f"{ip_address(packed)}/{prefix_length}")
