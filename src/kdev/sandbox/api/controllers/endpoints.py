"""Services: the ready pods behind each, as Endpoints, as an EndpointSlice, and as the node wants them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from kdev.sandbox.api.controllers.ownership import is_ready, reference_to
from kdev.sandbox.api.selectors import matches_labels
from kdev.sandbox.interface import Object, Service, ServicePort

RETRIES = "sandbox.kdev.dev/retries"
"""A service's annotation: ``off`` keeps callers' sidecars from repeating failed requests. In Istio a VirtualService
says this (``retries.attempts: 0``)."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What follows from one service and the pods of its namespace.

    Attributes:
        endpoints: Its Endpoints object.
        slice: Its EndpointSlice.
        service: What the node is told.
    """

    endpoints: Object
    slice: Object
    service: Service


def plan(service: Object, pods: Sequence[Object]) -> Plan:
    """Find the pods behind a service; terminating pods are no endpoints, unready ones are so marked."""
    selector = service["spec"].get("selector")
    behind = [
        pod
        for pod in pods
        if selector
        and matches_labels({"matchLabels": selector}, pod["metadata"].get("labels") or {})
        and pod.get("status", {}).get("podIP")
        and "deletionTimestamp" not in pod["metadata"]
    ]
    ports = service["spec"].get("ports") or []
    return Plan(_endpoints(service, ports, behind), _slice(service, ports, behind), _for_node(service, ports, behind))


def without_selector(service: Object, endpoints: Object | None) -> Service:
    """A service whose endpoints nobody finds, such as the API server's own: those that were written for it."""
    found: dict[str, list[tuple[str, int]]] = {}
    for subset in (endpoints or {}).get("subsets") or ():
        for port in subset["ports"]:
            found.setdefault(port.get("name", ""), []).extend(
                (address["ip"], port["port"]) for address in subset["addresses"]
            )
    bare = _for_node(service, service["spec"].get("ports") or (), ())
    ports = (replace(port, endpoints=tuple(found.get(port.name, ()))) for port in bare.ports)
    return replace(bare, ports=tuple(ports))


def target_port(port: Object, pod: Object) -> int | None:
    """The number of the pod's port that a service's port leads to; None when the pod has no port of that name."""
    target: Any = port.get("targetPort", port["port"])
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for declared in container.get("ports") or ():
            if declared.get("name") == target and declared.get("protocol", "TCP") == port.get("protocol", "TCP"):
                return int(declared["containerPort"])
    return None


def _meta(service: Object, name_field: dict[str, str], labels: dict[str, str]) -> Object:
    meta = service["metadata"]
    own = meta.get("labels") or {}
    return name_field | {"namespace": meta["namespace"], "labels": own | labels}


def _endpoints(service: Object, ports: Sequence[Object], pods: Sequence[Object]) -> Object:
    subsets: dict[tuple[tuple[str, int | None, str], ...], Object] = {}
    for pod in pods:
        resolved = tuple((port.get("name", ""), target_port(port, pod), port.get("protocol", "TCP")) for port in ports)
        known = [(name, number, protocol) for name, number, protocol in resolved if number is not None]
        if not known:
            continue
        subset = subsets.setdefault(
            resolved,
            {"ports": [_named(name) | {"port": number, "protocol": protocol} for name, number, protocol in known]},
        )
        kind = "addresses" if is_ready(pod) else "notReadyAddresses"
        subset.setdefault(kind, []).append(_address(pod))
    endpoints: Object = {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": _meta(service, {"name": service["metadata"]["name"]}, {}),
    }
    return endpoints | ({"subsets": list(subsets.values())} if subsets else {})


def _address(pod: Object) -> Object:
    return {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName", ""), "targetRef": _target(pod)}


def _target(pod: Object) -> Object:
    meta = pod["metadata"]
    return {"kind": "Pod", "name": meta["name"], "namespace": meta["namespace"], "uid": meta["uid"]}


def _named(name: str) -> Object:
    return {"name": name} if name else {}


def _slice(service: Object, ports: Sequence[Object], pods: Sequence[Object]) -> Object:
    name = service["metadata"]["name"]
    labels = {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
    }
    meta = _meta(service, {"name": f"{name}-sandbox"}, labels)
    numbers = {port.get("name", ""): next((target_port(port, pod) for pod in pods), None) for port in ports}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": meta | {"ownerReferences": [reference_to(service)]},
        "addressType": "IPv4",
        "ports": [
            {
                "name": port.get("name", ""),
                "port": numbers[port.get("name", "")],
                "protocol": port.get("protocol", "TCP"),
            }
            for port in ports
            if numbers[port.get("name", "")] is not None
        ],
        "endpoints": [
            {
                "addresses": [pod["status"]["podIP"]],
                "conditions": {"ready": is_ready(pod), "serving": is_ready(pod), "terminating": False},
                "nodeName": pod["spec"].get("nodeName", ""),
                "targetRef": _target(pod),
            }
            for pod in pods
        ],
    }


def _for_node(service: Object, ports: Sequence[Object], pods: Sequence[Object]) -> Service:
    ready = [pod for pod in pods if is_ready(pod)]
    address = service["spec"].get("clusterIP", "")
    return Service(
        service["metadata"]["namespace"],
        service["metadata"]["name"],
        "" if address == "None" else address,
        tuple(
            ServicePort(
                port.get("name", ""),
                port["port"],
                port.get("protocol", "TCP"),
                port.get("appProtocol", ""),
                tuple(
                    (pod["status"]["podIP"], number) for pod in ready if (number := target_port(port, pod)) is not None
                ),
            )
            for port in ports
        ),
        retries=(service["metadata"].get("annotations") or {}).get(RETRIES) != "off",
    )
