"""Links, addresses and routes as the kernel and iproute2 see them afterwards."""

import errno
import json
import socket
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network

import pytest

from kdev.netlink.routes import Routes, RouteType, RoutingTable
from kdev.netlink.sockets import NetlinkError
from tests.integration.netlink.namespaces import Namespace

pytestmark = pytest.mark.root


def test_pods_of_a_bridge_reach_each_other(namespace: Namespace, other_namespace: Namespace) -> None:
    """A bridge with veth pairs into another namespace carries packets between them, IPv4 and IPv6."""
    with (
        Routes(namespace=namespace.descriptor) as node,
        Routes(namespace=other_namespace.descriptor) as pod,
    ):
        node.add_bridge("kbr0")
        node.add_veth("v1", peer="eth0", peer_namespace=other_namespace.descriptor)
        node.set_master("v1", "kbr0")
        for link in ("kbr0", "v1"):
            node.set_up(link)
        node.add_address("kbr0", IPv4Interface("10.1.2.1/24"))
        node.add_address("kbr0", IPv6Interface("fd00:1::1/64"))
        pod.set_up("lo")
        pod.set_up("eth0")
        pod.add_address("eth0", IPv4Interface("10.1.2.3/24"))
        pod.add_address("eth0", IPv6Interface("fd00:1::3/64"))
        pod.add_default_route(IPv4Address("10.1.2.1"))
        pod.add_default_route(IPv6Address("fd00:1::1"))

        assert {link.name: link.up for link in pod.links()} == {"lo": True, "eth0": True}
        assert node.link("v1").master == node.link("kbr0").index
        assert IPv4Interface("10.1.2.3/24") in pod.addresses("eth0")
        assert IPv6Interface("fd00:1::3/64") in pod.addresses("eth0")
    for address in ("10.1.2.3", "fd00:1::3"):
        assert _reached(namespace, other_namespace, address)
    assert "default via 10.1.2.1 dev eth0" in other_namespace.run("ip", "route")
    assert "default via fd00:1::1 dev eth0" in other_namespace.run("ip", "-6", "route")


def test_a_link_is_renamed_and_changed_and_deleted(namespace: Namespace) -> None:
    """MAC addresses, names and the MTU are as asked for, and deleting one end of a pair deletes both."""
    with Routes(namespace=namespace.descriptor) as routes:
        routes.add_veth("a", peer="b", mac=bytes.fromhex("02aabbccdd01"), peer_mac=bytes.fromhex("02aabbccdd02"))
        routes.rename("a", "eth0")
        routes.set_mtu("eth0", 1400)
        assert routes.link("eth0").mac.hex() == "02aabbccdd01"
        assert routes.link("b").mac.hex() == "02aabbccdd02"
        assert json.loads(namespace.run("ip", "-j", "link", "show", "eth0"))[0]["mtu"] == 1400
        routes.delete_link("eth0")
        assert [link.name for link in routes.links()] == ["lo"]


def test_marked_packets_use_a_table_of_their_own(namespace: Namespace) -> None:
    """A rule for a mark and a local default route in its table read back as TPROXY needs them."""
    with Routes(namespace=namespace.descriptor) as routes:
        routes.set_up("lo")
        routes.add_mark_rule(4, 1337, table=133)
        routes.add_mark_rule(6, 1337, table=133)
        everything = IPv4Network("0.0.0.0/0")
        routes.add_route(everything, link="lo", kind=RouteType.LOCAL, table=133)
        routes.add_route(IPv6Network("::/0"), link="lo", kind=RouteType.LOCAL, table=133)
        routes.add_route(everything, link="lo", kind=RouteType.LOCAL, table=RoutingTable.LOCAL)
    assert "fwmark 0x539 lookup 133" in namespace.run("ip", "rule")
    assert "fwmark 0x539 lookup 133" in namespace.run("ip", "-6", "rule")
    assert "local default dev lo" in namespace.run("ip", "route", "show", "table", "133")
    assert "local default dev lo" in namespace.run("ip", "-6", "route", "show", "table", "133")
    assert "local default dev lo" in namespace.run("ip", "route", "show", "table", "local")


def test_an_unreachable_network_refuses(namespace: Namespace) -> None:
    """Routes of the other kinds are read back as such."""
    with Routes(namespace=namespace.descriptor) as routes:
        routes.set_up("lo")
        routes.add_route(IPv4Network("10.9.0.0/16"), kind=RouteType.UNREACHABLE)
        routes.add_route(IPv4Network("10.8.0.0/16"), kind=RouteType.BLACKHOLE)
    shown = namespace.run("ip", "route")
    assert "unreachable 10.9.0.0/16" in shown
    assert "blackhole 10.8.0.0/16" in shown


def test_the_kernel_s_words_are_told(namespace: Namespace) -> None:
    """A refused request says what was asked, the errno's meaning and the kernel's extended message."""
    with Routes(namespace=namespace.descriptor) as routes:
        with pytest.raises(NetlinkError, match="find link eth9") as missing:
            routes.set_up("eth9")
        assert missing.value.errno == errno.ENODEV
        with pytest.raises(NetlinkError, match=r"add route 0\.0\.0\.0/0.*gateway") as unreachable:
            routes.add_default_route(IPv4Address("10.0.0.1"))
        assert unreachable.value.errno == errno.ENETUNREACH
        routes.add_bridge("kbr0")
        with pytest.raises(NetlinkError, match="add bridge kbr0: File exists"):
            routes.add_bridge("kbr0")


def _reached(client: Namespace, server: Namespace, address: str) -> bool:
    """Whether a TCP connection from one namespace is accepted in another."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with server.call(lambda: socket.create_server((address, 0), family=family)) as listener:
        port = listener.getsockname()[1]
        with client.call(lambda: socket.create_connection((address, port), timeout=5)), listener.accept()[0]:
            return True
