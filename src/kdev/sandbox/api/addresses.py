"""Cluster IPs: one address of the service network per service."""

from collections.abc import Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network

from kdev.sandbox.api import statuses
from kdev.sandbox.api.resources import SERVICES
from kdev.sandbox.interface import Object


class ServiceAddresses:
    """Hands out the addresses of the service network, lowest first."""

    def __init__(self, network: str) -> None:
        self._network = IPv4Network(network)

    def assign(self, service: Object, others: Sequence[Object]) -> None:
        """Give a service an address, or check the one it asks for.

        Raises:
            Refusal: 422 for an address that is taken or outside the network, 500 when none is left.
        """
        spec = service["spec"]
        asked = spec.get("clusterIP")
        if asked != "None":
            taken = {other["spec"].get("clusterIP") for other in others}
            spec["clusterIP"] = self._checked(service, asked, taken) if asked else self._free(taken)
        spec["clusterIPs"] = [spec["clusterIP"]]

    def _free(self, taken: set[str]) -> str:
        for address in self._network.hosts():
            # The first address is the API server's in a real cluster, the tenth by custom the DNS server's.
            if int(address) - int(self._network.network_address) > 10 and str(address) not in taken:
                return str(address)
        raise statuses.Refusal(
            500, "InternalError", "Internal error occurred: failed to allocate a serviceIP: range is full"
        )

    def _checked(self, service: Object, asked: str, taken: set[str]) -> str:
        name = service["metadata"]["name"]
        try:
            inside = IPv4Address(asked) in self._network
        except AddressValueError:
            inside = False
        if not inside or asked in taken:
            why = (
                "provided IP is already allocated" if inside else f"the provided network does not match {self._network}"
            )
            detail = f"failed to allocate IP {asked}: {why}"
            raise statuses.invalid(SERVICES, name, [statuses.invalid_value("spec.clusterIPs", [asked], detail)])
        return asked
