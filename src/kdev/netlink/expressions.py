"""What nf_tables rules are made of: matches and statements, written as one would write them for ``nft``.

    add_rule(chain, out_interface("lo"), source(IPv4Address("127.0.0.6")), tcp_dport(8080), syn_only(), redirect(15901))

A match loads a value into register 1 and compares it; a match that presupposes another (a TCP port presupposes TCP)
names it in ``needs``, and the rule says each such thing once. ``negated`` turns one match round. Numbers of
attributes and operations are those of include/uapi/linux/netfilter/nf_tables.h.
"""

import struct
from dataclasses import dataclass, replace
from enum import IntEnum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from kdev.netlink.attributes import attribute, native32, nested, network16, network32, text

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_ELEMENT = 1
_REGISTER_VERDICT, _REGISTER_1, _REGISTER_2 = 0, 1, 2
_REGISTER_32_00 = 8
"""The first of the 4-byte registers that register 1 is made of: concatenated keys fill consecutive ones."""

_EQUAL, _UNEQUAL = 0, 1
_NETWORK_HEADER, _TRANSPORT_HEADER = 1, 2
_IFNAMSIZ = 16

_TCP_FLAGS_OFFSET = 13
_FIN_SYN_RST_ACK, _SYN, _RST = 0x17, 0x02, 0x04


class Meta(IntEnum):
    """Facts about a packet that are not in it (NFT_META_*)."""

    MARK = 3
    IIFNAME = 6
    OIFNAME = 7
    SKUID = 10
    SKGID = 11
    NFPROTO = 15
    L4PROTO = 16


class ConntrackKey(IntEnum):
    """Facts about a packet's connection (NFT_CT_*)."""

    STATE = 0
    DIRECTION = 1
    MARK = 3


class Direction(IntEnum):
    """Which way a packet goes in its connection (IP_CT_DIR_*)."""

    ORIGINAL = 0
    REPLY = 1


class Protocol(IntEnum):
    """Transport protocols (IPPROTO_*)."""

    TCP = 6
    UDP = 17


class Unreachable(IntEnum):
    """Reasons of a rejection that exist in ICMP and ICMPv6 alike (NFT_REJECT_ICMPX_*)."""

    NETWORK = 0
    PORT = 1
    HOST = 2
    PROHIBITED = 3


@dataclass(frozen=True, slots=True)
class Match:
    """A condition.

    Attributes:
        load: Encoded expressions that put a value into register 1.
        value: What it is compared with.
        equal: False for "is anything but".
        needs: Conditions that must hold before this one makes sense.
    """

    load: bytes
    value: bytes
    equal: bool = True
    needs: tuple["Match", ...] = ()

    @property
    def encoded(self) -> bytes:
        """The expressions of this condition alone."""
        operation = attribute(2, network32(_EQUAL if self.equal else _UNEQUAL))
        return self.load + _expression("cmp", _register(1, _REGISTER_1), operation, nested(3, attribute(1, self.value)))


@dataclass(frozen=True, slots=True)
class Statement:
    """What a rule does, already encoded; also look-ups in sets, which are conditions without a value."""

    encoded: bytes
    needs: tuple[Match, ...] = ()


Part = Match | Statement


def encode_parts(parts: tuple[Part, ...]) -> tuple[bytes, ...]:
    """A rule's expressions in order, each needed condition once and before whatever needs it."""
    said: dict[Match, None] = {}
    encoded = []
    for part in parts:
        for match in (*part.needs, *([part] if isinstance(part, Match) else [])):
            if match not in said:
                said[match] = None
                encoded.append(match.encoded)
        if isinstance(part, Statement):
            encoded.append(part.encoded)
    return tuple(encoded)


# ---- matches


def negated(match: Match) -> Match:
    """The opposite of a condition; what it needs still must hold."""
    return replace(match, equal=not match.equal)


def ip_version(version: int) -> Match:
    """IPv4 (4) or IPv6 (6); only chains of family inet see both."""
    return Match(_meta(Meta.NFPROTO), bytes([2 if version == 4 else 10]))


def protocol(number: Protocol) -> Match:
    """The transport protocol, behind IPv6 extension headers too."""
    return Match(_meta(Meta.L4PROTO), bytes([number]))


def in_interface(name: str) -> Match:
    """The interface that the packet came in by."""
    return Match(_meta(Meta.IIFNAME), name.encode().ljust(_IFNAMSIZ, b"\0"))


def out_interface(name: str) -> Match:
    """The interface that the packet leaves by."""
    return Match(_meta(Meta.OIFNAME), name.encode().ljust(_IFNAMSIZ, b"\0"))


def source(address: Address | Network) -> Match:
    """The packet's source address, or a network it is in."""
    return _address(address, 12 if address.version == 4 else 8)


def destination(address: Address | Network) -> Match:
    """The packet's destination address, or a network it is in."""
    return _address(address, 16 if address.version == 4 else 24)


def tcp_sport(port: int) -> Match:
    """TCP's source port."""
    return _port(Protocol.TCP, 0, port)


def tcp_dport(port: int) -> Match:
    """TCP's destination port."""
    return _port(Protocol.TCP, 2, port)


def udp_dport(port: int) -> Match:
    """UDP's destination port."""
    return _port(Protocol.UDP, 2, port)


def syn_only() -> Match:
    """The first packet of a TCP connection: of FIN, SYN, RST and ACK only SYN is set."""
    return _tcp_flags(_FIN_SYN_RST_ACK, _SYN)


def not_reset() -> Match:
    """A TCP packet without RST."""
    return _tcp_flags(_RST, 0)


def mark(value: int, mask: int = 0xFFFFFFFF) -> Match:
    """The packet's mark under a mask."""
    return Match(_meta(Meta.MARK) + _masked(native32(mask)), native32(value))


def socket_uid(uid: int) -> Match:
    """The user that made the sending socket; no packet without a local socket matches."""
    return Match(_meta(Meta.SKUID), native32(uid))


def socket_gid(gid: int) -> Match:
    """The group that made the sending socket."""
    return Match(_meta(Meta.SKGID), native32(gid))


def connection_mark(value: int, mask: int = 0xFFFFFFFF) -> Match:
    """The conntrack mark of the packet's connection, under a mask."""
    return Match(_conntrack(ConntrackKey.MARK) + _masked(native32(mask)), native32(value))


def connection_direction(direction: Direction) -> Match:
    """Which way the packet goes in its connection."""
    return Match(_conntrack(ConntrackKey.DIRECTION), bytes([direction]))


def one_in(count: int) -> Match:
    """True for a random packet of ``count``.

    To share connections evenly among n targets, give the first rule ``one_in(n)``, the next ``one_in(n - 1)``, and
    so on to ``one_in(1)``.
    """
    drawn = (_register(1, _REGISTER_1), attribute(2, network32(count)), attribute(3, network32(1)))
    return Match(_expression("numgen", *drawn), native32(0))


def tcp_dport_in(name: str) -> Statement:
    """TCP's destination port is an element of a set of the same table."""
    return _lookup(name, _payload(_TRANSPORT_HEADER, 2, 2))


def tcp_sport_dport_in(name: str) -> Statement:
    """TCP's (source, destination) port is an element of a set of pairs."""
    return _lookup(name, _port_into(0, _REGISTER_32_00) + _port_into(2, _REGISTER_32_00 + 1))


def tcp_dport_sport_in(name: str) -> Statement:
    """The same for packets that come back: (destination, source) is an element."""
    return _lookup(name, _port_into(2, _REGISTER_32_00) + _port_into(0, _REGISTER_32_00 + 1))


# ---- statements


def accept() -> Statement:
    """End this chain; later base chains still see the packet."""
    return _verdict(1)


def drop() -> Statement:
    """Discard the packet."""
    return _verdict(0)


def jump(chain: str) -> Statement:
    """Go through a chain of the same table and come back unless it ends the matter."""
    return _verdict(-3, chain)


def return_() -> Statement:
    """Leave this chain; in a base chain its policy decides."""
    return _verdict(-5)


def counter() -> Statement:
    """Count packets and bytes."""
    return Statement(_expression("counter"))


def redirect(port: int) -> Statement:
    """Lead the connection to a local port: on 127.0.0.1 or ::1 in hook output, on the interface's address before."""
    return Statement(_immediate(_REGISTER_1, network16(port)) + _expression("redir", _register(1, _REGISTER_1)))


def dnat(address: Address, port: int | None = None) -> Statement:
    """Lead the connection to another address, and port where one is given."""
    return _nat(1, address, port)


def snat(address: Address) -> Statement:
    """Have the connection come from another address (hook postrouting)."""
    return _nat(0, address, None)


def tproxy(version: int, port: int) -> Statement:
    """Hand the packet to the local socket that listens on ``port``, its addresses unchanged (hook prerouting)."""
    family = attribute(1, network32(2 if version == 4 else 10))
    encoded = _immediate(_REGISTER_1, network16(port)) + _expression("tproxy", family, _register(3, _REGISTER_1))
    return Statement(encoded, (ip_version(version),))


def reject_with_reset() -> Statement:
    """Answer a TCP packet with RST, as a closed port does."""
    return Statement(_expression("reject", attribute(1, network32(1)), attribute(2, b"\0")), (protocol(Protocol.TCP),))


def reject_with_unreachable(reason: Unreachable) -> Statement:
    """Answer with the ICMP or ICMPv6 error of that reason (families inet and bridge only)."""
    return Statement(_expression("reject", attribute(1, network32(2)), attribute(2, bytes([reason]))))


def set_mark(value: int) -> Statement:
    """Mark the packet."""
    written = _expression("meta", attribute(2, network32(Meta.MARK)), _register(3, _REGISTER_1))
    return Statement(_immediate(_REGISTER_1, native32(value)) + written)


def set_connection_mark_bits(bits: int) -> Statement:
    """Set bits of the connection's mark and keep the others."""
    kept = _bitwise(native32(~bits & 0xFFFFFFFF), native32(bits))
    written = _expression("ct", attribute(2, network32(ConntrackKey.MARK)), _register(4, _REGISTER_1))
    return Statement(_conntrack(ConntrackKey.MARK) + kept + written)


def set_tcp_sequence(value: int) -> Statement:
    """Overwrite TCP's sequence number; the kernel mends the checksum."""
    checksum = attribute(6, network32(1)) + attribute(7, network32(16))
    place = attribute(2, network32(_TRANSPORT_HEADER)) + attribute(3, network32(4)) + attribute(4, network32(4))
    written = _expression("payload", _register(5, _REGISTER_1), place, checksum)
    return Statement(_immediate(_REGISTER_1, network32(value)) + written, (protocol(Protocol.TCP),))


def queue(number: int) -> Statement:
    """Hand the packet to a program's nfqueue; it goes on as if nothing had been where no program listens."""
    return Statement(_expression("queue", attribute(1, network16(number)), attribute(2, network16(1)), _bypass()))


def queue_by_xtables(number: int) -> Statement:
    """``queue`` for kernels without CONFIG_NFT_QUEUE: iptables' target, in families ip and ip6 only.

    The information is xt_NFQ_info_v3 (include/uapi/linux/netfilter/xt_NFQUEUE.h), padded as XT_ALIGN demands.
    """
    information = struct.pack("=HHHxx", number, 1, 1)
    target = (attribute(1, text("NFQUEUE")), attribute(2, network32(3)), attribute(3, information))
    return Statement(_expression("target", *target))


# ---- encoding


def _expression(name: str, *attributes: bytes) -> bytes:
    return nested(_ELEMENT, attribute(1, text(name)), nested(2, *attributes))


def _register(kind: int, register: int) -> bytes:
    return attribute(kind, network32(register))


def _meta(key: Meta) -> bytes:
    return _expression("meta", _register(1, _REGISTER_1), attribute(2, network32(key)))


def _conntrack(key: ConntrackKey) -> bytes:
    return _expression("ct", _register(1, _REGISTER_1), attribute(2, network32(key)))


def _payload(base: int, offset: int, length: int, register: int = _REGISTER_1) -> bytes:
    place = attribute(2, network32(base)) + attribute(3, network32(offset)) + attribute(4, network32(length))
    return _expression("payload", _register(1, register), place)


def _bitwise(mask: bytes, exclusive_or: bytes) -> bytes:
    registers = _register(1, _REGISTER_1) + _register(2, _REGISTER_1) + attribute(3, network32(len(mask)))
    operands = nested(4, attribute(1, mask)) + nested(5, attribute(1, exclusive_or))
    return _expression("bitwise", registers, operands)


def _masked(mask: bytes) -> bytes:
    return b"" if all(byte == 0xFF for byte in mask) else _bitwise(mask, bytes(len(mask)))


def _immediate(register: int, value: bytes) -> bytes:
    return _expression("immediate", _register(1, register), nested(2, attribute(1, value)))


def _verdict(code: int, chain: str | None = None) -> Statement:
    verdict = attribute(1, network32(code)) + (attribute(2, text(chain)) if chain is not None else b"")
    return Statement(_expression("immediate", _register(1, _REGISTER_VERDICT), nested(2, nested(2, verdict))))


def _address(address: Address | Network, offset: int) -> Match:
    network = IPv4Network(address) if address.version == 4 else IPv6Network(address)
    load = _payload(_NETWORK_HEADER, offset, network.max_prefixlen // 8) + _masked(network.netmask.packed)
    return Match(load, network.network_address.packed, needs=(ip_version(address.version),))


def _port(transport: Protocol, offset: int, port: int) -> Match:
    return Match(_payload(_TRANSPORT_HEADER, offset, 2), network16(port), needs=(protocol(transport),))


def _port_into(offset: int, register: int) -> bytes:
    return _payload(_TRANSPORT_HEADER, offset, 2, register)


def _tcp_flags(mask: int, value: int) -> Match:
    load = _payload(_TRANSPORT_HEADER, _TCP_FLAGS_OFFSET, 1) + _masked(bytes([mask]))
    return Match(load, bytes([value]), needs=(protocol(Protocol.TCP),))


def _lookup(name: str, load: bytes) -> Statement:
    looked_up = _expression("lookup", attribute(1, text(name)), _register(2, _REGISTER_1))
    return Statement(load + looked_up, (protocol(Protocol.TCP),))


def _nat(kind: int, address: Address, port: int | None) -> Statement:
    family = attribute(2, network32(2 if address.version == 4 else 10))
    loads = _immediate(_REGISTER_1, address.packed)
    operands = attribute(1, network32(kind)) + family + _register(3, _REGISTER_1)
    needs: tuple[Match, ...] = (ip_version(address.version),)
    if port is not None:
        loads += _immediate(_REGISTER_2, network16(port))
        operands += _register(5, _REGISTER_2)
    return Statement(loads + _expression("nat", operands), needs)


def _bypass() -> bytes:
    return attribute(3, network16(1))
