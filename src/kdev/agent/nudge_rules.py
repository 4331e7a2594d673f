"""The rules that lead the watched connections' packets through the agent, and the guard behind them.

``kdev-nudge`` belongs to the agent's socket and goes with it. ``kdev-guard`` belongs to nobody and outlives the
agent on purpose: the packets of a connection with inserted bytes would otherwise pass untranslated after the
agent's death, and the client would take a stream that lacks some bytes for whole. The guard knows such
connections by a bit of their conntrack mark, which ends with them, and translated packets by their packet mark.
What has the one and not the other is answered with a reset towards the client, and towards the application with
the sequence number 0: outside the window, so that the client's kernel answers with an acknowledgement, which is
rejected in turn. Both ends are reset at once, and no other connection is touched.
"""

import errno
import itertools
from collections.abc import Callable, Iterable

from kdev.agent.connections import Connection
from kdev.netlink.expressions import (
    Direction,
    Protocol,
    Statement,
    connection_direction,
    connection_mark,
    in_interface,
    mark,
    negated,
    not_reset,
    protocol,
    queue,
    queue_by_xtables,
    reject_with_reset,
    set_connection_mark_bits,
    set_tcp_sequence,
    tcp_dport_sport_in,
    tcp_sport_dport_in,
)
from kdev.netlink.nf_tables import (
    Base,
    Chain,
    ChainType,
    Hook,
    KeyType,
    NfTables,
    Set,
    Table,
    TableFamily,
    add_chain,
    add_elements,
    add_rule,
    add_set,
    add_table,
    delete_elements,
    delete_table,
)
from kdev.netlink.sockets import NetlinkError, Request

QUEUE_NUMBER = 0x6B64
"""Any number that nobody else in a pod's network namespace uses."""

TRANSLATED_MARK = 0x4B444556
_CLIENT_BEGAN, _APP_BEGAN = 0x40000000, 0x20000000
"""Bits of a shifted connection's conntrack mark: which end conntrack takes for its originator. For a connection older
than conntrack's switching on that is whichever spoke first since. Meshes use low bits (Istio 0x539 and 0x111)."""
_SHIFTED_BITS = _CLIENT_BEGAN | _APP_BEGAN

_BEFORE_CONNTRACK = -290
"""Between NF_IP_PRI_RAW (-300) and NF_IP_PRI_CONNTRACK (-200): conntrack sees only translated packets."""
_BIT_PRIORITY, _GUARD_PRIORITY = -150, -140
"""Behind conntrack; the bit is set before the guard looks for it."""

_FLOWS, _SHIFTED = "flows", "shifted"
"""The sets' names: connections to look at, and among them those to translate."""

_FAMILY = {4: TableFamily.IP, 6: TableFamily.IP6}
"""Each has tables of its own, since iptables' NFQUEUE target does not exist in family inet."""


class NudgeRules:
    """Keeps the kernel's sets as the watched connections are.

    Args:
        netlink: The socket that owns the rules.
        versions: The IP versions of the connections.
        insert: Whether bytes may be inserted, so that connections may become shifted.
    """

    def __init__(self, netlink: NfTables, versions: Iterable[int], *, insert: bool) -> None:
        self._netlink = netlink
        self._families = tuple(_FAMILY[version] for version in sorted(versions))
        self._insert = insert
        self._guarding = False
        self._elements: dict[tuple[str, TableFamily], frozenset[tuple[int, int]]] = {}

    def install(self) -> None:
        """Make the tables, with whichever way into a queue the kernel has.

        Raises:
            NetlinkError: The kernel refused; ENOENT where it has no way into a queue, EINVAL where no table can
                have an owner.
        """
        try:
            self._netlink.commit(*self._requests(queue))
        except NetlinkError as error:
            if error.errno not in {errno.ENOENT, errno.EOPNOTSUPP}:
                raise
            self._netlink.commit(*self._requests(queue_by_xtables))

    def follow(self, *, watched: Iterable[Connection], shifted: Iterable[Connection]) -> None:
        """Lead these connections' packets here and no others', and have the guard watch over the shifted ones.

        Raises:
            NetlinkError: The kernel refused; nothing has changed.
        """
        requests: list[Request] = []
        wanted = {_FLOWS: frozenset(watched), _SHIFTED: frozenset(shifted)}
        guarding = self._guarding or bool(wanted[_SHIFTED])
        if guarding and not self._guarding:
            requests += itertools.chain.from_iterable(map(_guard, self._families))
        elements: dict[tuple[str, TableFamily], frozenset[tuple[int, int]]] = {}
        for (name, connections), family in itertools.product(wanted.items(), self._families):
            new = elements[name, family] = _elements(connections, family)
            old = self._elements.get((name, family), frozenset())
            if gone := sorted(old - new):
                requests.append(delete_elements(_set(family, name), gone))
            if come := sorted(new - old):
                requests.append(add_elements(_set(family, name), come))
        if requests:
            self._netlink.commit(*requests)
        self._elements, self._guarding = elements, guarding

    def remove_guard(self) -> None:
        """Take the guard away, when no connection with inserted bytes lives any more.

        Raises:
            NetlinkError: The kernel refused.
        """
        if self._guarding:
            self._netlink.commit(*(delete_table(_guard_table(family)) for family in self._families))
            self._guarding = False

    def _requests(self, queueing: Callable[[int], Statement]) -> list[Request]:
        requests: list[Request] = []
        for family in self._families:
            requests += _queue_rules(family, queueing(QUEUE_NUMBER))
            if self._insert:
                requests += _bit_rules(family)
        return requests


def _table(family: TableFamily) -> Table:
    return Table(family, "kdev-nudge")


def _guard_table(family: TableFamily) -> Table:
    return Table(family, "kdev-guard")


def _set(family: TableFamily, name: str) -> Set:
    return Set(_table(family), name, KeyType.TCP_PORT_PAIR)


def _elements(connections: Iterable[Connection], family: TableFamily) -> frozenset[tuple[int, int]]:
    """Pairs of ports; connections that share one are told apart by ``Flows``."""
    size = 4 if family == TableFamily.IP else 16
    return frozenset((c.client[1], c.app[1]) for c in connections if len(c.app[0]) == size)


def _queue_rules(family: TableFamily, to_queue: Statement) -> list[Request]:
    """Both directions of the watched connections pass the queue.

    A sidecar's packets pass hook output in both directions, a distant caller's arrive at prerouting. A translated
    packet never comes twice, as it would when somebody's new chain moved ours while it was queued.
    """
    table = _table(family)
    output = Chain(table, "output", Base(ChainType.FILTER, Hook.OUTPUT, _BEFORE_CONNTRACK))
    arriving = Chain(table, "prerouting", Base(ChainType.FILTER, Hook.PREROUTING, _BEFORE_CONNTRACK))
    fresh = negated(mark(TRANSLATED_MARK))
    return [
        add_table(table, owner=True),
        add_set(_set(family, _FLOWS), identifier=1),
        add_set(_set(family, _SHIFTED), identifier=2),
        add_chain(output),
        add_chain(arriving),
        add_rule(output, fresh, tcp_dport_sport_in(_FLOWS), to_queue),
        add_rule(output, fresh, tcp_sport_dport_in(_FLOWS), to_queue),
        add_rule(arriving, negated(in_interface("lo")), tcp_sport_dport_in(_FLOWS), to_queue),
    ]


def _bit_rules(family: TableFamily) -> list[Request]:
    """Packets of shifted connections put the bit on their connection.

    They stand before anything is shifted, since they switch connection tracking on where nothing else did, and
    its chains must not come between a packet's queueing and its verdict.
    """
    chain = Chain(_table(family), "mark", Base(ChainType.FILTER, Hook.OUTPUT, _BIT_PRIORITY))
    rules = [
        add_rule(chain, packets(_SHIFTED), connection_direction(direction), set_connection_mark_bits(bit))
        for packets, direction, bit in (
            (tcp_sport_dport_in, Direction.ORIGINAL, _CLIENT_BEGAN),
            (tcp_sport_dport_in, Direction.REPLY, _APP_BEGAN),
            (tcp_dport_sport_in, Direction.ORIGINAL, _APP_BEGAN),
            (tcp_dport_sport_in, Direction.REPLY, _CLIENT_BEGAN),
        )
    ]
    return [add_chain(chain), *rules]


def _guard(family: TableFamily) -> list[Request]:
    """The guard, in place of one that an earlier agent left; the exchange leaves no packet unguarded."""
    table = _guard_table(family)
    chain = Chain(table, "output", Base(ChainType.FILTER, Hook.OUTPUT, _GUARD_PRIORITY))
    untranslated = (protocol(Protocol.TCP), negated(mark(TRANSLATED_MARK)), not_reset())
    from_client = [
        (connection_mark(_CLIENT_BEGAN, _CLIENT_BEGAN), connection_direction(Direction.ORIGINAL)),
        (connection_mark(_APP_BEGAN, _APP_BEGAN), connection_direction(Direction.REPLY)),
    ]
    return [
        add_table(table),
        delete_table(table),
        add_table(table),
        add_chain(chain),
        *(add_rule(chain, *untranslated, *which, reject_with_reset()) for which in from_client),
        add_rule(chain, *untranslated, negated(connection_mark(0, _SHIFTED_BITS)), set_tcp_sequence(0)),
    ]
