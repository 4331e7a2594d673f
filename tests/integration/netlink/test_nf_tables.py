"""Rules as the kernel took them, read back by ``nft``, and what they do to connections."""

import errno
import re
import socket
import struct
import sys
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address

import pytest

from kdev.netlink import nf_tables as nft
from kdev.netlink.expressions import (
    Direction,
    Part,
    Protocol,
    Unreachable,
    accept,
    connection_direction,
    connection_mark,
    counter,
    destination,
    dnat,
    drop,
    in_interface,
    jump,
    mark,
    negated,
    not_reset,
    one_in,
    out_interface,
    protocol,
    queue_by_xtables,
    redirect,
    reject_with_reset,
    reject_with_unreachable,
    return_,
    set_connection_mark_bits,
    set_mark,
    set_tcp_sequence,
    socket_gid,
    socket_uid,
    source,
    syn_only,
    tcp_dport,
    tcp_dport_in,
    tcp_dport_sport_in,
    tcp_sport,
    tcp_sport_dport_in,
    tproxy,
    udp_dport,
)
from kdev.netlink.nf_tables import Base, Chain, ChainType, Hook, KeyType, NfTables, Set, Table, TableFamily
from kdev.netlink.routes import Routes
from kdev.netlink.sockets import NetlinkError
from tests.integration.netlink.namespaces import Namespace

pytestmark = pytest.mark.root

SO_ORIGINAL_DST = 80

INET = Table(TableFamily.INET, "test")
OUTPUT_NAT = Chain(INET, "out", Base(ChainType.NAT, Hook.OUTPUT, -101))
OUTPUT_FILTER = Chain(INET, "filter", Base(ChainType.FILTER, Hook.OUTPUT, 0))
PREROUTING_FILTER = Chain(INET, "pre", Base(ChainType.FILTER, Hook.PREROUTING, -150))

SYN = "tcp flags syn / fin,syn,rst,ack"
TAP = (out_interface("lo"), source(IPv4Address("127.0.0.6")), tcp_dport(8080), syn_only(), redirect(15901))
LO6 = IPv6Address("::6")


def listing(namespace: Namespace) -> str:
    """The ruleset as ``nft`` prints it, in single spaces; before and after version 1.1 it writes flags differently."""
    shown = re.sub(r"\s+", " ", namespace.run("nft", "list", "ruleset"))
    return shown.replace("tcp flags & (fin | syn | rst | ack) == syn", SYN).replace(
        "tcp flags & rst == 0x0", "tcp flags ! rst"
    )


@pytest.mark.parametrize(
    ("chain", "parts", "printed"),
    [
        (
            OUTPUT_NAT,
            TAP,
            'oifname "lo" ip saddr 127.0.0.6 tcp dport 8080 ' + SYN + " redirect to :15901",
        ),
        (
            OUTPUT_NAT,
            (source(LO6), tcp_dport(8080), redirect(15901)),
            "ip6 saddr ::6 tcp dport 8080 redirect to :15901",
        ),
        (OUTPUT_NAT, (dnat(IPv4Address("10.1.2.3"), 8080),), "meta nfproto ipv4 dnat ip to 10.1.2.3:8080"),
        (OUTPUT_NAT, (dnat(IPv4Address("10.1.2.3")),), "meta nfproto ipv4 dnat ip to 10.1.2.3"),
        (OUTPUT_NAT, (dnat(LO6, 80),), "meta nfproto ipv6 dnat ip6 to [::6]:80"),
        (OUTPUT_FILTER, (destination(IPv4Network("10.0.0.0/12")), drop()), "ip daddr 10.0.0.0/12 drop"),
        (OUTPUT_FILTER, (negated(destination(LO6)), accept()), "ip6 daddr != ::6 accept"),
        (
            OUTPUT_FILTER,
            (negated(socket_uid(1337)), socket_gid(1338), return_()),
            "meta skuid != 1337 meta skgid 1338 return",
        ),
        (OUTPUT_FILTER, (mark(0x539), counter()), "meta mark 0x00000539 counter packets 0 bytes 0"),
        (OUTPUT_FILTER, (mark(0x539, 0xFFF), drop()), "meta mark & 0x00000fff == 0x00000539 drop"),
        (OUTPUT_FILTER, (udp_dport(53), reject_with_unreachable(Unreachable.PORT)), "udp dport 53 reject"),
        (OUTPUT_FILTER, (tcp_sport(1), reject_with_reset()), "tcp sport 1 reject with tcp reset"),
        (OUTPUT_FILTER, (protocol(Protocol.UDP), set_mark(5)), "meta l4proto udp meta mark set 0x00000005"),
        (OUTPUT_FILTER, (not_reset(), set_tcp_sequence(0)), "tcp flags ! rst tcp sequence set 0"),
        (
            OUTPUT_FILTER,
            (connection_direction(Direction.REPLY), connection_mark(0x40, 0x40), drop()),
            "ct direction reply ct mark & 0x00000040 == 0x00000040 drop",
        ),
        (OUTPUT_FILTER, (set_connection_mark_bits(0x40),), "ct mark set ct mark | 0x00000040"),
        (OUTPUT_FILTER, (one_in(3), accept()), "numgen random mod 3 0 accept"),
        (OUTPUT_FILTER, (jump("pre"),), "jump pre"),
        (PREROUTING_FILTER, (in_interface("eth0"), accept()), 'iifname "eth0" accept'),
        (
            PREROUTING_FILTER,
            (protocol(Protocol.TCP), tproxy(6, 15006)),
            "meta l4proto tcp meta nfproto ipv6 tproxy ip6 to :15006",
        ),
    ],
)
def test_rules_read_back_as_they_were_meant(
    namespace: Namespace, chain: Chain, parts: tuple[Part, ...], printed: str
) -> None:
    """Each match and statement is printed by ``nft`` in its own words."""
    with NfTables(namespace=namespace.descriptor) as tables:
        chains = {Chain(INET, "pre"), chain} if chain.name != "pre" else {chain}
        tables.commit(nft.add_table(INET), *map(nft.add_chain, chains), nft.add_rule(chain, *parts))
    assert printed + " }" in listing(namespace)


def test_sets_hold_ports_and_pairs_of_ports(namespace: Namespace) -> None:
    """Rules look ports up in sets, whose elements come, go and expire."""
    ports = Set(INET, "ports", KeyType.TCP_PORT, timeout=5000)
    flows = Set(INET, "flows", KeyType.TCP_PORT_PAIR)
    with NfTables(namespace=namespace.descriptor) as tables:
        tables.commit(
            nft.add_table(INET),
            nft.add_chain(OUTPUT_FILTER),
            nft.add_set(ports, identifier=1),
            nft.add_set(flows, identifier=2),
            nft.add_rule(OUTPUT_FILTER, tcp_dport_in("ports"), accept()),
            nft.add_rule(OUTPUT_FILTER, tcp_sport_dport_in("flows"), accept()),
            nft.add_rule(OUTPUT_FILTER, tcp_dport_sport_in("flows"), accept()),
            nft.add_elements(flows, [(40000, 8080), (40001, 8080)]),
        )
        tables.commit(nft.delete_elements(flows, [(40000, 8080)]))
        tables.commit(*nft.replace_elements(ports, [8080]))
        tables.commit(*nft.replace_elements(ports, [8081, 8082]))
        with pytest.raises(NetlinkError) as missing:
            tables.commit(nft.delete_elements(flows, [(1, 1)]))
    assert missing.value.errno == errno.ENOENT
    shown = listing(namespace)
    assert re.search(r"elements = \{ 8081 expires 4\w+, 8082 expires 4\w+ \}", shown)
    assert "elements = { 40001 . 8080 }" in shown
    for rule in ("tcp dport @ports", "tcp sport . tcp dport @flows", "tcp dport . tcp sport @flows"):
        assert rule + " accept" in shown


def test_a_refused_transaction_changes_nothing(namespace: Namespace) -> None:
    """The error names the refused request, the rest of its transaction is undone, and the socket works on."""
    with NfTables(namespace=namespace.descriptor) as tables:
        with pytest.raises(NetlinkError, match="add rule to test missing: No such file or directory"):
            tables.commit(nft.add_table(INET), nft.add_rule(Chain(INET, "missing"), drop()), nft.add_chain(OUTPUT_NAT))
        assert tables.tables() == []
        tables.commit(nft.add_table(INET))
        assert tables.tables() == [INET]


def test_an_owned_table_goes_with_its_socket(namespace: Namespace) -> None:
    """A table with an owner cannot be changed by others and is gone when the owner's socket closes."""
    with NfTables(namespace=namespace.descriptor) as owner, NfTables(namespace=namespace.descriptor) as stranger:
        owner.commit(nft.add_table(INET, owner=True))
        with pytest.raises(NetlinkError) as refused:
            stranger.commit(nft.delete_table(INET))
        assert refused.value.errno == errno.EPERM
        owner.close()
        assert stranger.tables() == []


def test_without_rights_the_kernel_refuses(namespace: Namespace) -> None:
    """EPERM of the whole transaction reaches the caller, who could otherwise wait for ever."""
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups"]
    program = (
        "from kdev.netlink.nf_tables import *\n"
        "try: NfTables().commit(add_table(Table(TableFamily.INET, 'x')))\n"
        "except OSError as error: print(error.errno)"
    )
    assert namespace.run(*unprivileged, sys.executable, "-c", program) == f"{errno.EPERM}\n"


def test_istio_s_rules_lead_connections_as_istio_s(namespace: Namespace) -> None:
    """The chains that istio-init writes can be written, listed, and redirect an outgoing connection to 15001."""
    nat = Table(TableFamily.IP, "nat")
    inbound, redirecting, in_redirecting, output = (
        Chain(nat, name) for name in ("ISTIO_INBOUND", "ISTIO_REDIRECT", "ISTIO_IN_REDIRECT", "ISTIO_OUTPUT")
    )
    prerouting_hook = Chain(nat, "PREROUTING", Base(ChainType.NAT, Hook.PREROUTING, -100))
    output_hook = Chain(nat, "OUTPUT", Base(ChainType.NAT, Hook.OUTPUT, -100))
    lo, tcp, localhost = out_interface("lo"), protocol(Protocol.TCP), IPv4Address("127.0.0.1")
    with NfTables(namespace=namespace.descriptor) as tables:
        tables.commit(
            nft.add_table(nat),
            *map(nft.add_chain, (inbound, redirecting, in_redirecting, output, prerouting_hook, output_hook)),
            nft.add_rule(redirecting, tcp, redirect(15001)),
            nft.add_rule(in_redirecting, tcp, redirect(15006)),
            nft.add_rule(prerouting_hook, tcp, jump("ISTIO_INBOUND")),
            nft.add_rule(inbound, tcp_dport(15008), return_()),
            nft.add_rule(inbound, tcp, jump("ISTIO_IN_REDIRECT")),
            nft.add_rule(output_hook, jump("ISTIO_OUTPUT")),
            nft.add_rule(output, lo, source(IPv4Address("127.0.0.6")), return_()),
            nft.add_rule(
                output,
                lo,
                negated(destination(localhost)),
                negated(tcp_dport(15008)),
                socket_uid(1337),
                jump("ISTIO_IN_REDIRECT"),
            ),
            nft.add_rule(output, lo, negated(socket_uid(1337)), return_()),
            nft.add_rule(output, socket_uid(1337), return_()),
            nft.add_rule(output, destination(localhost), return_()),
            nft.add_rule(output, jump("ISTIO_REDIRECT")),
        )
        assert {chain.name for chain in tables.chains()} >= {"ISTIO_INBOUND", "ISTIO_OUTPUT", "PREROUTING", "OUTPUT"}
    with Routes(namespace=namespace.descriptor) as routes:
        routes.set_up("lo")
        routes.add_bridge("kbr0")
        routes.set_up("kbr0")
        routes.add_address("kbr0", IPv4Interface("10.1.2.3/24"))
    assert namespace.call(lambda: _original_destination("127.0.0.1", 15001, "10.1.2.9", 443)) == ("10.1.2.9", 443)
    assert namespace.call(lambda: _original_destination("10.1.2.3", 8080, "10.1.2.3", 8080)) == ("10.1.2.3", 8080)


def test_endpoints_of_a_service_share_connections(namespace: Namespace) -> None:
    """Rules of kube-proxy's kind spread the connections to a cluster address over all endpoints."""
    service, ports = IPv4Address("10.96.0.10"), (8001, 8002, 8003)
    with Routes(namespace=namespace.descriptor) as routes:
        routes.set_up("lo")
        routes.add_address("lo", IPv4Interface("10.96.0.1/24"))
    with NfTables(namespace=namespace.descriptor) as tables:
        shares = [
            nft.add_rule(
                OUTPUT_NAT, destination(service), tcp_dport(80), one_in(3 - n), dnat(IPv4Address("127.0.0.1"), port)
            )
            for n, port in enumerate(ports)
        ]
        tables.commit(nft.add_table(INET), nft.add_chain(OUTPUT_NAT), *shares)

    def spread() -> list[int]:
        listeners = [socket.create_server(("127.0.0.1", port), backlog=128) for port in ports]
        clients = [socket.create_connection((str(service), 80), timeout=2) for _ in range(60)]
        accepted = []
        for listener in listeners:
            listener.setblocking(False)
            accepted.append(0)
            try:
                while True:
                    listener.accept()[0].close()
                    accepted[-1] += 1
            except BlockingIOError:
                listener.close()
        for client in clients:
            client.close()
        return accepted

    counts = namespace.call(spread)
    assert sum(counts) == 60
    # The chance that one of three endpoints gets none of 60 connections is below 1e-10.
    assert all(counts)


def test_the_nfqueue_target_of_iptables_reads_back(namespace: Namespace) -> None:
    """Where nf_tables has no queue expression, iptables' target stands in with bypass."""
    table = Table(TableFamily.IP, "test")
    chain = Chain(table, "out", Base(ChainType.FILTER, Hook.OUTPUT, -290))
    with NfTables(namespace=namespace.descriptor) as tables:
        queueing = nft.add_rule(chain, tcp_dport(80), queue_by_xtables(7))
        tables.commit(nft.add_table(table), nft.add_chain(chain), queueing)
        assert re.search(r"(queue|NFQUEUE) num 7 bypass", listing(namespace))


def _original_destination(listen: str, port: int, host: str, host_port: int) -> tuple[str, int]:
    """Where a connection that a listener got was meant to go, as SO_ORIGINAL_DST says."""
    with (
        socket.create_server((listen, port)) as listener,
        socket.create_connection((host, host_port), timeout=2),
        listener.accept()[0] as accepted,
    ):
        found = accepted.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16)
    original_port, address = struct.unpack("!2xH4s8x", found)
    return socket.inet_ntoa(address), original_port
