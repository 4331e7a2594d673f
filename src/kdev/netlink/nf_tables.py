"""nf_tables: tables, chains, rules and sets, changed in transactions (include/uapi/linux/netfilter/nf_tables.h).

The functions here build requests, which are values; ``NfTables.commit`` has the kernel do all of them or none. A
table made with ``owner=True`` belongs to the socket that made it: nobody else may change it, and the kernel deletes
it when the socket closes, however its process ends (Linux 5.12).
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from kdev.netlink.attributes import (
    attribute,
    decode_attributes,
    decode_text,
    nested,
    network16,
    network32,
    network64,
    text,
)
from kdev.netlink.expressions import Part, encode_parts
from kdev.netlink.sockets import APPEND, CREATE, ClosedOnExit, Family, NetlinkSocket, Request

_SUBSYSTEM = 10 << 8
_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEWTABLE, _GETTABLE, _DELTABLE, _NEWCHAIN, _GETCHAIN = 0, 1, 2, 3, 4
_NEWRULE, _DELRULE = 6, 8
_NEWSET, _NEWSETELEM, _DELSETELEM = 9, 12, 14

_TABLE_OWNER = 0x2
_SET_TIMEOUT = 0x10
_POLICY_ACCEPT = 1


class TableFamily(IntEnum):
    """The packets that a table's chains see (NFPROTO_*); INET sees IPv4 and IPv6."""

    INET = 1
    IP = 2
    ARP = 3
    NETDEV = 5
    BRIDGE = 7
    IP6 = 10


class ChainType(IntEnum):
    """What a base chain is for; the kernel takes the lower-case name."""

    FILTER = 0
    NAT = 1
    ROUTE = 2


class Hook(IntEnum):
    """Where in a packet's way a base chain stands (NF_INET_*)."""

    PREROUTING = 0
    INPUT = 1
    FORWARD = 2
    OUTPUT = 3
    POSTROUTING = 4


class KeyType(IntEnum):
    """What a set's elements are; the numbers are those by which ``nft`` knows how to print them."""

    TCP_PORT = 13
    TCP_PORT_PAIR = 13 << 6 | 13


_KEY_LENGTH = {KeyType.TCP_PORT: 2, KeyType.TCP_PORT_PAIR: 8}
"""Bytes; each part of a concatenated key fills a 4-byte register."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table, named within its family."""

    family: TableFamily
    name: str


@dataclass(frozen=True, slots=True)
class Base:
    """What makes a chain a base chain: lower priorities see packets first."""

    type: ChainType
    hook: Hook
    priority: int


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain; without ``base`` only jumps lead into it. Base chains accept what no rule decides."""

    table: Table
    name: str
    base: Base | None = None


@dataclass(frozen=True, slots=True)
class Set:
    """A set of ports or pairs of ports; ``timeout`` in milliseconds is how long an element lives, None for ever."""

    table: Table
    name: str
    key: KeyType
    timeout: int | None = None


Element = int | tuple[int, int]
"""A port, or a (source, destination) pair of ports."""


class NfTables(ClosedOnExit):
    """Changes the ruleset of one network namespace.

    Args:
        namespace: Descriptor of the namespace; None for the calling thread's own.
    """

    def __init__(self, *, namespace: int | None = None) -> None:
        self._netlink = NetlinkSocket(Family.NETFILTER, namespace=namespace)

    def close(self) -> None:
        """Close the socket: tables that it owns disappear, others stay."""
        self._netlink.close()

    def commit(self, *requests: Request) -> None:
        """Have all requests done, or none.

        Raises:
            NetlinkError: The kernel refused one of them.
        """
        begin = Request(_BATCH_BEGIN, 0, _header(0, _SUBSYSTEM >> 8), "begin a transaction")
        end = Request(_BATCH_END, 0, _header(0, _SUBSYSTEM >> 8), "end a transaction")
        self._netlink.transaction((begin, *requests), ending=end)

    def tables(self) -> list[Table]:
        """All tables of the namespace, iptables-nft's among them."""
        listed = self._netlink.dump(Request(_SUBSYSTEM | _GETTABLE, 0, _header(0), "list tables"))
        return [Table(TableFamily(m.body[0]), decode_text(decode_attributes(m.body, 4)[1])) for m in listed]

    def chains(self) -> list[Chain]:
        """All chains of the namespace, without their hooks."""
        listed = self._netlink.dump(Request(_SUBSYSTEM | _GETCHAIN, 0, _header(0), "list chains"))
        chains = []
        for message in listed:
            attributes = decode_attributes(message.body, 4)
            table = Table(TableFamily(message.body[0]), decode_text(attributes[1]))
            chains.append(Chain(table, decode_text(attributes[3])))
        return chains


# ---- requests


def add_table(table: Table, *, owner: bool = False) -> Request:
    """Create a table; with ``owner`` it lives as long as the socket that commits it."""
    body = attribute(1, text(table.name)) + attribute(2, network32(_TABLE_OWNER if owner else 0))
    return _request(_NEWTABLE, CREATE, table, body, f"add table {table.name}")


def delete_table(table: Table) -> Request:
    """Delete a table with everything in it."""
    return _request(_DELTABLE, 0, table, attribute(1, text(table.name)), f"delete table {table.name}")


def add_chain(chain: Chain) -> Request:
    """Create a chain."""
    body = attribute(1, text(chain.table.name)) + attribute(3, text(chain.name))
    if chain.base is not None:
        hook = attribute(1, network32(chain.base.hook)) + attribute(2, network32(chain.base.priority))
        body += nested(4, hook) + attribute(5, network32(_POLICY_ACCEPT))
        body += attribute(7, text(chain.base.type.name.lower()))
    return _request(_NEWCHAIN, CREATE, chain.table, body, f"add chain {_name(chain)}")


def add_rule(chain: Chain, *parts: Part) -> Request:
    """Append a rule to a chain."""
    body = attribute(1, text(chain.table.name)) + attribute(2, text(chain.name))
    body += nested(4, *encode_parts(parts))
    return _request(_NEWRULE, CREATE | APPEND, chain.table, body, f"add rule to {_name(chain)}")


def delete_rules(chain: Chain) -> Request:
    """Delete all rules of a chain."""
    body = attribute(1, text(chain.table.name)) + attribute(2, text(chain.name))
    return _request(_DELRULE, 0, chain.table, body, f"delete rules of {_name(chain)}")


def add_set(a_set: Set, *, identifier: int) -> Request:
    """Create a set; ``identifier`` must differ between the sets of one transaction."""
    flags = _SET_TIMEOUT if a_set.timeout is not None else 0
    body = attribute(1, text(a_set.table.name)) + attribute(2, text(a_set.name)) + attribute(3, network32(flags))
    body += attribute(4, network32(a_set.key)) + attribute(5, network32(_KEY_LENGTH[a_set.key]))
    body += attribute(10, network32(identifier))
    if a_set.timeout is not None:
        body += attribute(11, network64(a_set.timeout))
    return _request(_NEWSET, CREATE, a_set.table, body, f"add set {a_set.table.name} {a_set.name}")


def add_elements(a_set: Set, elements: Iterable[Element]) -> Request:
    """Put elements into a set; those that are in it stay as they are, their time to live included."""
    return _elements(_NEWSETELEM, CREATE, a_set, elements, "add")


def delete_elements(a_set: Set, elements: Iterable[Element]) -> Request:
    """Take elements out of a set; one that is not in it fails the transaction (ENOENT)."""
    return _elements(_DELSETELEM, 0, a_set, elements, "delete")


def replace_elements(a_set: Set, elements: Iterable[Element]) -> tuple[Request, ...]:
    """Have a set contain exactly these elements, each with its whole time to live from now on.

    In one transaction no packet sees the set empty. (Adding an element that is there would not prolong its life
    before Linux 6.12.)
    """
    names = attribute(1, text(a_set.table.name)) + attribute(2, text(a_set.name))
    emptied = _request(_DELSETELEM, 0, a_set.table, names, f"empty {a_set.table.name} {a_set.name}")
    return emptied, add_elements(a_set, elements)


def _elements(kind: int, flags: int, a_set: Set, elements: Iterable[Element], verb: str) -> Request:
    listed = (nested(1, nested(1, attribute(1, _key(element)))) for element in elements)
    body = attribute(1, text(a_set.table.name)) + attribute(2, text(a_set.name)) + nested(3, *listed)
    return _request(kind, flags, a_set.table, body, f"{verb} elements of {a_set.table.name} {a_set.name}")


def _key(element: Element) -> bytes:
    return network16(element) if isinstance(element, int) else struct.pack("!HxxHxx", *element)


def _name(chain: Chain) -> str:
    return f"{chain.table.name} {chain.name}"


def _request(kind: int, flags: int, table: Table, body: bytes, what: str) -> Request:
    return Request(_SUBSYSTEM | kind, flags, _header(table.family) + body, what)


def _header(family: int, resource: int = 0) -> bytes:
    return struct.pack("!BBH", family, 0, resource)
