"""Telling a mesh's containers from the application's, by the names that injectors give them."""

from collections.abc import Iterator

from kdev.kube.objects import Container, Pod

ISTIO = "istio-proxy"

MESH_CONTAINERS = frozenset(
    (ISTIO, "istio-init", "istio-validation", "linkerd-proxy", "linkerd-init", "linkerd-network-validator",
     "kuma-sidecar", "kuma-init", "consul-dataplane", "consul-connect-inject-init", "osm-init")
)  # fmt: skip


def application_containers(pod: Pod) -> Iterator[Container]:
    """The containers that serve while the pod runs: ordinary ones and native sidecars, the mesh's left out."""
    for container in (*pod.containers, *(one for one in pod.init_containers if one.restart_policy == "Always")):
        if container.name not in MESH_CONTAINERS:
            yield container
