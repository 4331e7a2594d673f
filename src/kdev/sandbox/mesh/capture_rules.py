"""The rules that lead a pod's connections through its sidecar, as istio-iptables writes them by default.

Source: istio tools/istio-iptables/pkg/capture/run.go with arguments
``-p 15001 -z 15006 -u 1337 -m REDIRECT -i * -x "" -b * -d 15090,15021,15020``; same table, chains and order.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

from kdev.netlink.expressions import (
    Match,
    Protocol,
    destination,
    jump,
    negated,
    out_interface,
    protocol,
    redirect,
    return_,
    socket_gid,
    socket_uid,
    source,
    tcp_dport,
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
)
from kdev.netlink.sockets import Request
from kdev.sandbox.mesh.shape import (
    HBONE_PORT,
    INBOUND_PORT,
    INBOUND_SOURCE,
    OUTBOUND_PORT,
    PROXY_UID,
    UNCAPTURED_PORTS,
)
from kdev.sandbox.namespaces import Namespace

_DESTINATION_NAT = -100
_TABLE = Table(TableFamily.IP, "nat")
_PREROUTING = Chain(_TABLE, "PREROUTING", Base(ChainType.NAT, Hook.PREROUTING, _DESTINATION_NAT))
_OUTPUT = Chain(_TABLE, "OUTPUT", Base(ChainType.NAT, Hook.OUTPUT, _DESTINATION_NAT))
_INBOUND = Chain(_TABLE, "ISTIO_INBOUND")
_REDIRECT = Chain(_TABLE, "ISTIO_REDIRECT")
_IN_REDIRECT = Chain(_TABLE, "ISTIO_IN_REDIRECT")
_ISTIO_OUTPUT = Chain(_TABLE, "ISTIO_OUTPUT")


def _without_needs(match: Match) -> Match:
    """A table of family ip sees IPv4 alone: asking for it, as others must, confuses ``nft`` when it reads the rules."""
    return replace(match, needs=())


_TO_LOOPBACK = _without_needs(destination(IPv4Address("127.0.0.1")))
_FROM_SIDECAR = _without_needs(source(INBOUND_SOURCE))


def capture(pod: Namespace) -> None:
    """Write the rules into a pod's network namespace; they live as long as it does."""
    with NfTables(namespace=pod.descriptor) as tables:
        tables.commit(*_chains(), *_inbound(), *_outbound())


def _chains() -> Iterator[Request]:
    yield add_table(_TABLE)
    for chain in (_PREROUTING, _OUTPUT, _INBOUND, _REDIRECT, _IN_REDIRECT, _ISTIO_OUTPUT):
        yield add_chain(chain)
    yield add_rule(_REDIRECT, protocol(Protocol.TCP), redirect(OUTBOUND_PORT))
    yield add_rule(_IN_REDIRECT, protocol(Protocol.TCP), redirect(INBOUND_PORT))


def _inbound() -> Iterator[Request]:
    yield add_rule(_PREROUTING, protocol(Protocol.TCP), jump(_INBOUND.name))
    for port in (HBONE_PORT, *UNCAPTURED_PORTS):
        yield add_rule(_INBOUND, tcp_dport(port), return_())
    yield add_rule(_INBOUND, protocol(Protocol.TCP), jump(_IN_REDIRECT.name))


def _outbound() -> Iterator[Request]:
    yield add_rule(_OUTPUT, jump(_ISTIO_OUTPUT.name))
    # The sidecar's calls to its own app: the decrypted hop.
    yield add_rule(_ISTIO_OUTPUT, out_interface("lo"), _FROM_SIDECAR, return_())
    yield from _owner_rules(socket_uid(PROXY_UID))
    yield from _owner_rules(socket_gid(PROXY_UID))
    yield add_rule(_ISTIO_OUTPUT, _TO_LOOPBACK, return_())
    yield add_rule(_ISTIO_OUTPUT, jump(_REDIRECT.name))


def _owner_rules(proxy: Match) -> Iterator[Request]:
    """A self-call of the sidecar goes in again through it; loopback of others and the sidecar's own calls pass."""
    loopback = out_interface("lo")
    foreign = (negated(_TO_LOOPBACK), negated(tcp_dport(HBONE_PORT)))
    yield add_rule(_ISTIO_OUTPUT, loopback, *foreign, proxy, jump(_IN_REDIRECT.name))
    yield add_rule(_ISTIO_OUTPUT, loopback, negated(proxy), return_())
    yield add_rule(_ISTIO_OUTPUT, proxy, return_())
