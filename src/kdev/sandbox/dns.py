"""The cluster's name server: services by name, on the node's address."""

import asyncio
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address

from kdev.sandbox.dns_messages import answer
from kdev.sandbox.interface import Service
from kdev.sandbox.namespaces import Namespace
from kdev.sandbox.network import NODE_ADDRESS

DOMAIN = "cluster.local"

Names = dict[str, tuple[IPv4Address, ...]]


def names_of(services: Sequence[Service]) -> Names:
    """Every service's full name; a headless one has its endpoints' addresses (Kubernetes DNS specification)."""
    names: Names = {}
    for service in services:
        if service.cluster_ip:
            addresses = {service.cluster_ip}
        else:
            addresses = {address for port in service.ports for address, _ in port.endpoints}
        names[f"{service.name}.{service.namespace}.svc.{DOMAIN}"] = tuple(sorted(map(IPv4Address, addresses)))
    return names


def resolv_conf(namespace: str) -> str:
    """A pod's /etc/resolv.conf, as a kubelet writes it for ``dnsPolicy: ClusterFirst``."""
    return f"search {namespace}.svc.{DOMAIN} svc.{DOMAIN} {DOMAIN}\nnameserver {NODE_ADDRESS}\noptions ndots:5\n"


class NameServer(asyncio.DatagramProtocol):
    """Answers over UDP out of the table it was given last."""

    def __init__(self) -> None:
        self.names: Names = {}
        self._transport: asyncio.DatagramTransport | None = None

    async def serve(self, node: Namespace) -> None:
        """Begin to answer on the node's address."""
        bound = node.socket(socket.AF_INET, socket.SOCK_DGRAM)
        bound.bind((str(NODE_ADDRESS), 53))
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=bound)

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]  # UDP's own
        """Keep the transport to answer by."""
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Answer one query."""
        if self._transport is not None and len(data) >= 2:
            self._transport.sendto(answer(data, self.names), addr)

    def close(self) -> None:
        """Stop answering."""
        if self._transport is not None:
            self._transport.close()
