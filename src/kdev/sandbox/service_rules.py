"""Service addresses for callers without a mesh: the node leads connections to a ready endpoint, as kube-proxy does."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address

from kdev.netlink.expressions import (
    Match,
    Unreachable,
    destination,
    dnat,
    one_in,
    reject_with_reset,
    reject_with_unreachable,
    snat,
    source,
    tcp_dport,
    udp_dport,
)
from kdev.netlink.nf_tables import (
    Base,
    Chain,
    ChainType,
    Hook,
    NfTables,
    Table,
    TableFamily,
    add_chain,
    add_rule,
    add_table,
    delete_rules,
)
from kdev.netlink.sockets import Request
from kdev.sandbox.interface import Service, ServicePort
from kdev.sandbox.namespaces import Namespace
from kdev.sandbox.network import NODE_ADDRESS, SERVICE_NETWORK

_TABLE = Table(TableFamily.INET, "services")
_DISPATCH = Chain(_TABLE, "dispatch", Base(ChainType.NAT, Hook.PREROUTING, -100))
_SELF_CALLS = Chain(_TABLE, "self-calls", Base(ChainType.NAT, Hook.POSTROUTING, 100))
_REFUSE = Chain(_TABLE, "refuse", Base(ChainType.FILTER, Hook.FORWARD, 0))


class ServiceRules:
    """The rules in the node's namespace; they live as long as it does."""

    def __init__(self, node: Namespace) -> None:
        self._tables = NfTables(namespace=node.descriptor)
        self._tables.commit(
            add_table(_TABLE),
            add_chain(_DISPATCH),
            add_chain(_SELF_CALLS),
            add_chain(_REFUSE),
            # What no rule above led to an endpoint. A reset is believed at once; ICMP costs connect() a second.
            add_rule(_REFUSE, destination(SERVICE_NETWORK), reject_with_reset()),
            add_rule(_REFUSE, destination(SERVICE_NETWORK), reject_with_unreachable(Unreachable.PORT)),
        )

    def replace(self, services: Sequence[Service]) -> None:
        """Lead to these services' endpoints from now on; connections that exist stay where they are."""
        fresh = (*dispatch(services), *self_calls(services))
        self._tables.commit(delete_rules(_DISPATCH), delete_rules(_SELF_CALLS), *fresh)

    def close(self) -> None:
        """Close the netlink socket."""
        self._tables.close()


def dispatch(services: Sequence[Service]) -> Iterator[Request]:
    """One rule for each endpoint, so that each gets an even share of the connections."""
    for service in services:
        if not service.cluster_ip:
            continue
        for port in service.ports:
            for place, (address, target) in enumerate(port.endpoints):
                share = one_in(len(port.endpoints) - place)
                to_port = _port_match(port)
                there = dnat(IPv4Address(address), target)
                yield add_rule(_DISPATCH, destination(IPv4Address(service.cluster_ip)), to_port, share, there)


def self_calls(services: Sequence[Service]) -> Iterator[Request]:
    """A pod led to itself must not see its own address as the caller's: it would drop the packets as forged."""
    for address in sorted({IPv4Address(a) for s in services for port in s.ports for a, _ in port.endpoints}):
        yield add_rule(_SELF_CALLS, source(address), destination(address), snat(NODE_ADDRESS))


def _port_match(port: ServicePort) -> Match:
    return udp_dport(port.port) if port.protocol == "UDP" else tcp_dport(port.port)
