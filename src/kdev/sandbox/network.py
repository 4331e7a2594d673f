"""The node's network: a namespace of its own with one point-to-point link to each pod.

Pods are routed, not bridged: each has a /32 and reaches everything through the node, so that the node's address
translation for services sees both directions of every connection (on a bridge, answers between pods would go past
it). Nothing here touches the host's links, routes or rules, and the host has no route to a pod, like a laptop.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from kdev.netlink.routes import Routes
from kdev.sandbox.namespaces import Namespace
from kdev.sandbox.syscalls import Clone

POD_NETWORK = IPv4Network("10.244.0.0/24")
SERVICE_NETWORK = IPv4Network("10.96.0.0/24")
NODE_ADDRESS = IPv4Address("10.244.0.1")
"""The same in every sandbox: their networks do not know of each other."""


@dataclass(frozen=True, slots=True)
class PodLink:
    """A pod's place in the network."""

    namespace: Namespace
    address: IPv4Address
    link: str


class NoAddressLeft(Exception):  # noqa: N818 - a state, reported as FailedCreatePodSandBox
    """The pod network is full."""


class Network:
    """The node's namespace and the pods attached to it."""

    def __init__(self) -> None:
        self.node = Namespace.create(Clone.NEWNET)
        self._routes = Routes(namespace=self.node.descriptor)
        self._free = _cycle(POD_NETWORK)
        self._used: set[IPv4Address] = set()
        self._routes.set_up("lo")
        self._routes.add_address("lo", IPv4Interface(NODE_ADDRESS))
        # Packets for a service without endpoints must get as far as the rule that refuses them.
        self._routes.add_route(SERVICE_NETWORK, link="lo")
        with self.node.entered():
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")

    def attach(self) -> PodLink:
        """A fresh network namespace with an address.

        Raises:
            NoAddressLeft: All are taken.
        """
        address = self._take_address()
        pod = Namespace.create(Clone.NEWNET)
        link = f"pod{int(address) - int(POD_NETWORK.network_address)}"
        self._routes.add_veth(link, peer="eth0", peer_namespace=pod.descriptor)
        self._routes.set_up(link)
        _configure_pod(pod, address)
        self._routes.add_route(IPv4Network(address), link=link)
        return PodLink(pod, address, link)

    def detach(self, pod: PodLink) -> None:
        """Free a pod's address; its namespace goes when the last process in it has ended."""
        self._routes.delete_link(pod.link)
        pod.namespace.close()
        self._used.discard(pod.address)

    def close(self) -> None:
        """Let go of the node's namespace."""
        self._routes.close()
        self.node.close()

    def _take_address(self) -> IPv4Address:
        for _ in range(POD_NETWORK.num_addresses):
            address = next(self._free)
            if address not in self._used:
                self._used.add(address)
                return address
        raise NoAddressLeft(f"no address left in {POD_NETWORK}")


def _configure_pod(pod: Namespace, address: IPv4Address) -> None:
    with Routes(namespace=pod.descriptor) as routes:
        routes.set_up("lo")
        routes.add_address("eth0", IPv4Interface(address))
        routes.set_up("eth0")
        routes.add_route(IPv4Network(NODE_ADDRESS), link="eth0")
        routes.add_default_route(NODE_ADDRESS)
    with pod.entered():
        # As containerd configures it: users other than root may listen on port 80.
        Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").write_text("0", encoding="ascii")


def _cycle(network: IPv4Network) -> Iterator[IPv4Address]:
    """Addresses in order, beginning anew at the end: one that was just freed is the last to be given again."""
    while True:
        yield from (address for address in network.hosts() if address != NODE_ADDRESS)
