"""Meshes that kdev knows by sight but cannot tap.

Without this table their pods would pass for pods without a mesh, and the tap would lead ciphertext to the agent.
An adapter for one of them replaces its line here.
"""

from dataclasses import dataclass

from kdev.errors import TargetFailure
from kdev.mesh_adapters.interface import Evidence, Mesh


@dataclass(frozen=True, slots=True)
class _Signs:
    """By what a mesh is known: one of its containers, or the beginning of its chains' names."""

    mesh: str
    containers: frozenset[str]
    chains: tuple[str, ...]


_MESHES = (
    _Signs("Linkerd", frozenset(("linkerd-proxy",)), ("PROXY_INIT_",)),
    _Signs("Kuma", frozenset(("kuma-sidecar",)), ("KUMA_MESH_",)),
    _Signs("Consul", frozenset(("consul-dataplane",)), ("CONSUL_PROXY_",)),
    _Signs("Open Service Mesh", frozenset(("osm-init",)), ("OSM_PROXY_",)),
    _Signs("Cilium with ztunnel", frozenset(), ("CILIUM_PREROUTING",)),
)


class _Foreign:
    """Recognises the meshes of the table, and refuses their pods."""

    name = "foreign"

    def detect(self, evidence: Evidence) -> Mesh | None:
        """Return None for a pod of no such mesh.

        Raises:
            TargetFailure: The pod belongs to one.
        """
        containers = {container.name for container in evidence.pod.containers}
        chains = [chain.name for chain in evidence.chains]
        for signs in _MESHES:
            seen = [*(signs.containers & containers), *(name for name in chains if name.startswith(signs.chains))]
            if seen:
                raise TargetFailure(
                    "mesh-not-supported",
                    f"The pod belongs to {signs.mesh}, whose decrypted requests kdev cannot tap",
                    seen=", ".join(sorted(seen)),
                    advice="shadow a pod of an Istio mesh, or one without a mesh; kdev changed nothing in this one",
                )
        return None


FOREIGN = _Foreign()
