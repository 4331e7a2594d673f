"""The tap: the rule in the pod's network namespace that leads the sidecar's connections through the agent.

One table, ``inet kdev``, before every mesh's chains (theirs have priority -100). It belongs to the agent's netlink
socket, so the kernel deletes it whichever way the agent ends. Kernels before 5.12 know no owners; there the rules
look the port up in a set whose elements expire unless the agent refreshes them, and only the idle table remains.

Every rule matches SYN only. The first nat rule of a namespace switches connection tracking on, which then takes
the next packet of a living connection for a new one, redirects it to where no such connection exists, and so
resets it; a packet that is no SYN matches nothing and is left alone for good.
"""

import asyncio
import errno
import logging
import secrets
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from kdev.errors import AgentFailure
from kdev.mesh_adapters.interface import Hop
from kdev.netlink.expressions import (
    Part,
    destination,
    in_interface,
    mark,
    negated,
    out_interface,
    redirect,
    socket_gid,
    socket_uid,
    source,
    syn_only,
    tcp_dport_in,
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
    delete_table,
    replace_elements,
)
from kdev.netlink.sockets import NetlinkError, Request

_log = logging.getLogger(__name__)

TABLE = Table(TableFamily.INET, "kdev")

_PRIORITY = -101
"""One before NF_IP_PRI_NAT_DST (-100), where every mesh's and iptables' nat chains are."""

_OUTPUT = Base(ChainType.NAT, Hook.OUTPUT, _PRIORITY)
_PREROUTING = Base(ChainType.NAT, Hook.PREROUTING, _PRIORITY)

_LIFETIME = 2000
"""Milliseconds that ports stay tapped without a refresh; well below Envoy's and Istio's connect timeout of 10 s."""

_REFRESH = 0.5
"""Seconds between refreshes: three may be late before the tap falls."""


class Tap:
    """Holds the tap from ``__enter__`` to ``close``.

    Args:
        hops: What the sidecar's connections look like, from the mesh adapter.
        ports: The application's ports.
        listener_port: Where the agent listens.
        owned: False forces the expiring set that kernels before 5.12 need.
    """

    def __init__(self, hops: Iterable[Hop], ports: Iterable[int], listener_port: int, *, owned: bool = True) -> None:
        self._hops = tuple(hops)
        self._ports = frozenset(ports)
        self._listener_port = listener_port
        self._owned = owned
        self._netlink: NfTables | None = None
        self._table = TABLE

    def __enter__(self) -> Self:
        """Raise the tap.

        Raises:
            AgentFailure: The kernel refused.
        """
        if any(_catches_agent(hop) for hop in self._hops):
            raise _refused("nothing tells the sidecar's connections from the agent's own")
        self._netlink = NfTables()
        try:
            self._raise(self._netlink)
        except OSError as error:
            taken = _is_taken(self._netlink)
            self.close()
            raise (_taken() if taken else _refused(str(error))) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def drop(self) -> None:
        """Lead no more connections here; may be called from any thread, and again.

        Connections that are here stay, and need a redirecting rule for it: the kernel tracks connections, and so
        translates their addresses, only while some rule of the namespace asks for it. So in the same transaction an
        equal table without ports takes this one's place until ``close``; another agent may raise its tap meanwhile.
        """
        if self._netlink is None or self._table is not TABLE:
            return
        kept = Table(TABLE.family, f"{TABLE.name}-{secrets.token_hex(4)}")
        try:
            self._netlink.commit(*self._requests(kept, ports=()), delete_table(TABLE))
        except OSError as error:
            _log.warning("no rule could be kept for the connections that are here: %s", error)
            self.close()
        self._table = kept

    def close(self) -> None:
        """Remove the table; may be called from any thread, and again."""
        netlink, self._netlink = self._netlink, None
        if netlink is None:
            return
        try:
            if not self._owned:
                netlink.commit(delete_table(self._table))
        finally:
            netlink.close()

    def set_ports(self, ports: Iterable[int]) -> None:
        """Tap these ports and no others from now on.

        Raises:
            AgentFailure: The kernel refused; the ports are as they were.
        """
        wanted = frozenset(ports)
        if self._netlink is None or self._table is not TABLE:
            raise _refused("the tap is down")
        try:
            self._netlink.commit(*replace_elements(_set_of(TABLE, owned=self._owned), sorted(wanted)))
        except OSError as error:
            raise _refused(str(error)) from error
        self._ports = wanted

    async def keep(self) -> None:
        """Refresh the tap as long as it is up, where the kernel does not hold it by itself; run it as a task.

        Raises:
            AgentFailure: The kernel refused.
        """
        while self._netlink is not None and self._table is TABLE and not self._owned:
            self.set_ports(self._ports)
            await asyncio.sleep(_REFRESH)

    def _raise(self, netlink: NfTables) -> None:
        try:
            # A table without owner may remain from an agent that was killed: deleting it makes a clean start.
            clean = add_table(TABLE), delete_table(TABLE)
            netlink.commit(*clean, *self._requests(TABLE, self._ports))
        except NetlinkError as error:
            # What a kernel without owners answers to the unknown flag of the table.
            if not self._owned or error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
                raise
            self._owned = False
            self._raise(netlink)

    def _requests(self, table: Table, ports: Iterable[int]) -> list[Request]:
        a_set = _set_of(table, owned=self._owned)
        chains = {
            hop.local: Chain(table, "output", _OUTPUT) if hop.local else Chain(table, "prerouting", _PREROUTING)
            for hop in self._hops
        }
        rules = [add_rule(chains[hop.local], *_parts(hop), redirect(self._listener_port)) for hop in self._hops]
        elements = [add_elements(a_set, sorted(ports))] if ports else []
        return [
            add_table(table, owner=self._owned),
            add_set(a_set, identifier=1),
            *map(add_chain, chains.values()),
            *rules,
            *elements,
        ]


def _set_of(table: Table, *, owned: bool) -> Set:
    return Set(table, "ports", KeyType.TCP_PORT, timeout=None if owned else _LIFETIME)


def _parts(hop: Hop) -> list[Part]:
    """The conditions that a connection of this hop meets, in the order in which they are cheap."""
    parts: list[Part] = [out_interface("lo") if hop.local else negated(in_interface("lo"))]
    if hop.source is not None:
        parts.append(source(hop.source))
    if hop.destination is not None:
        parts.append(destination(hop.destination))
    if hop.mark is not None:
        parts.append(mark(*hop.mark))
    if hop.uid is not None:
        parts.append(socket_uid(hop.uid))
    if hop.gid is not None:
        parts.append(socket_gid(hop.gid))
    return [*parts, tcp_dport_in("ports"), syn_only()]


def _catches_agent(hop: Hop) -> bool:
    """Whether the agent's connection to the application would be led back to the agent, round and round."""
    return hop.local and hop.source is None and hop.mark is None and hop.uid is None and hop.gid is None


def _is_taken(netlink: NfTables) -> bool:
    try:
        return TABLE in netlink.tables()
    except OSError:
        return False


def _taken() -> AgentFailure:
    return AgentFailure(
        "tap-taken",
        "Another agent holds the tap of this pod",
        seen="the nf_tables table inet kdev belongs to another socket",
        advice="see who shadows this pod in the events of 'kubectl describe pod', and try again when they have ended",
    )


def _refused(seen: str) -> AgentFailure:
    return AgentFailure(
        "tap-refused",
        "The kernel did not let the agent tap the pod's connections",
        seen=seen,
        advice="the agent's container needs the capability NET_ADMIN and a node whose kernel has nf_tables;"
        " see with 'kubectl get pod NAME -o yaml' what admission left of its securityContext",
    )
