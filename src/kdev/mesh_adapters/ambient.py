"""Istio ambient: ztunnel, outside the pod, ends mTLS on sockets that it opened inside the pod's network namespace.

Its connections to the application carry its packet mark and the client's own address. The agent's answers to such
addresses find their way back over loopback only by the other mark, for which Istio has a routing rule
(istio/istio, cni/pkg/iptables/iptables.go; ztunnel, src/proxy.rs). ztunnel does not read HTTP, so nothing tells the
application who called. The kubelet's probes come in by the interface and never pass the tapped hop.
"""

from kdev.mesh_adapters.interface import Evidence, Hop, Mesh

_ZTUNNEL_MARK = (0x539, 0xFFF)
_ANSWER_MARK = 0x111
_PORTS = frozenset((15001, 15006, 15008, 15053))
_CHAINS = frozenset(("ISTIO_PRERT", "istio-prerouting"))
_ENROLLED = ("ambient.istio.io/redirection", "enabled")


class _Ambient:
    """Recognises ambient by its annotation or its chains; a sidecar excludes it (istio/istio, cni/README.md)."""

    name = "istio-ambient"

    def detect(self, evidence: Evidence) -> Mesh | None:
        """Return ztunnel's hop."""
        annotation, enrolled = _ENROLLED
        if evidence.pod.annotations.get(annotation) != enrolled and not any(
            chain.name in _CHAINS for chain in evidence.chains
        ):
            return None
        hop = Hop(local=True, mark=_ZTUNNEL_MARK, listener_mark=_ANSWER_MARK)
        return Mesh(self.name, hops=(hop,), identity=None, reserved_ports=_PORTS)


AMBIENT = _Ambient()
