"""Istio's sidecar: where it hands decrypted requests to the application, in each of its ways of capturing traffic.

Iptables or native nftables make no difference to the hop. Sources: istio/istio, tools/istio-iptables/pkg/capture
(rules), pilot/pkg/networking/core/cluster_builder.go (what the inbound side dials),
manifests/charts/istio-control/istio-discovery/files/injection-template.yaml (the container).
"""

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from kdev.errors import TargetFailure
from kdev.mesh_adapters.interface import Address, Evidence, Hop, Identity, Mesh
from kdev.tunnel.messages import Container

_INBOUND, _OUTBOUND, _ADMIN, _HEALTH = 15006, 15001, 15000, 15021
_PORTS = frozenset((_ADMIN, _OUTBOUND, 15002, 15004, _INBOUND, 15008, 15020, _HEALTH, 15053, 15090))
_CHAINS = frozenset(("ISTIO_INBOUND", "istio-inbound"))
_TPROXY_CHAINS = frozenset(("ISTIO_TPROXY", "istio-tproxy"))
_CONTAINER = "istio-proxy"
_STATUS = "sidecar.istio.io/status"
_MODE = "sidecar.istio.io/interceptionMode"
_EXCLUDED = "traffic.sidecar.istio.io/excludeInboundPorts"
_INCLUDED = "traffic.sidecar.istio.io/includeInboundPorts"

_DEFAULT_GROUP = 1337
_TPROXY_MARK = 1337
_SOURCE: dict[int, Address] = {4: IPv4Address("127.0.0.6"), 6: IPv6Address("::6")}
_LOOPBACK: dict[int, Address] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}


class _Istio:
    """Recognises a pod with a sidecar by its container, its annotation, its listeners or its chains."""

    name = "istio"

    def detect(self, evidence: Evidence) -> Mesh | None:
        """Return the sidecar's hop.

        Raises:
            TargetFailure: Sidecar and capture are not both there, or the sidecar captures nothing.
        """
        sidecar = next((one for one in evidence.pod.containers if one.name == _CONTAINER), None)
        ports = {listener.port for listener in evidence.listeners}
        injected = sidecar is not None or _STATUS in evidence.pod.annotations
        running = {_INBOUND, _OUTBOUND} <= ports
        if not injected and not (running and _ADMIN in ports):
            _refuse_rules_alone(evidence)
            return None
        environment = {} if sidecar is None else sidecar.environment
        _refuse_without_capture(evidence, environment)
        if not running:
            raise _sidecar_absent(evidence)
        uid = next(listener.uid for listener in evidence.listeners if listener.port == _INBOUND)
        return Mesh(
            self.name,
            hops=tuple(_hops(evidence, environment, uid, _group(sidecar))),
            identity=Identity(b"x-forwarded-client-cert", "xfcc"),
            reserved_ports=_PORTS,
            proxy_uid=uid,
            ready_url=f"http://127.0.0.1:{_HEALTH}/healthz/ready",
            warnings=tuple(_warnings(evidence)),
        )


ISTIO = _Istio()


def _hops(evidence: Evidence, environment: dict[str, str], uid: int, gid: int) -> Iterator[Hop]:
    """The hops by which the sidecar reaches the application, for each address family.

    The source address, not the user, tells the default hop: the sidecar's outgoing calls back into its own pod have
    the same user and are still encrypted. With ``inboundTrafficPolicy`` LOCALHOST, which is recognised by the variable
    that the injector sets for it, the sidecar dials loopback and binds no source.
    """
    if _mode(evidence, environment) == "TPROXY":
        # The sidecar runs as root there and shows the application the client's address.
        yield Hop(local=True, gid=gid, mark=(_TPROXY_MARK, 0xFFFFFFFF), listener_mark=_TPROXY_MARK)
        return
    to_loopback = environment.get("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION") == "true"
    for version in sorted(_families(evidence)):
        if not to_loopback:
            yield Hop(local=True, source=_SOURCE[version])
        elif uid == 0:  # a sidecar that may bind low ports runs as root, like others in the pod; its group is its own
            yield Hop(local=True, destination=_LOOPBACK[version], gid=gid)
        else:
            yield Hop(local=True, destination=_LOOPBACK[version], uid=uid)


def _families(evidence: Evidence) -> set[int]:
    """The IP versions in which the sidecar is reached: the pod's address's, and those its inbound port is bound to."""
    versions = {listener.address.version for listener in evidence.listeners if listener.port == _INBOUND}
    return versions | {6 if ":" in evidence.pod.ip else 4}


def _mode(evidence: Evidence, environment: dict[str, str]) -> str:
    """How inbound traffic is captured: ``REDIRECT``, ``TPROXY`` or ``NONE``."""
    if any(chain.name in _TPROXY_CHAINS for chain in evidence.chains):
        return "TPROXY"
    return environment.get("ISTIO_META_INTERCEPTION_MODE") or evidence.pod.annotations.get(_MODE) or "REDIRECT"


def _group(sidecar: Container | None) -> int:
    return _DEFAULT_GROUP if sidecar is None or sidecar.group is None else sidecar.group


def _warnings(evidence: Evidence) -> Iterator[str]:
    """What the annotations keep from the sidecar, and thereby from the tapped hop."""
    excluded = evidence.pod.annotations.get(_EXCLUDED)
    if excluded:
        yield f"Requests to the ports {excluded} go past the sidecar ({_EXCLUDED}) and are not seen"
    included = evidence.pod.annotations.get(_INCLUDED, "*")
    if included != "*":
        yield f"Only requests to the ports {included or '(none)'} pass the sidecar ({_INCLUDED}); others are not seen"


def _refuse_without_capture(evidence: Evidence, environment: dict[str, str]) -> None:
    if environment.get("DISABLE_ENVOY") == "true":
        raise TargetFailure(
            "istio-proxyless",
            "The application ends mTLS by itself (proxyless gRPC), so there is no decrypted hop to tap",
            seen=f"DISABLE_ENVOY=true in container {_CONTAINER}",
            advice="shadow a pod that has a sidecar with Envoy in it",
        )
    if _mode(evidence, environment) == "NONE":
        raise TargetFailure(
            "istio-interception-none",
            "The pod's sidecar does not capture incoming requests",
            seen="interception mode NONE",
            advice=f"set the pod's annotation {_MODE} to REDIRECT or TPROXY, or shadow another pod",
        )


def _refuse_rules_alone(evidence: Evidence) -> None:
    rules = sorted(chain.name for chain in evidence.chains if chain.name in _CHAINS)
    if rules:
        raise TargetFailure(
            "istio-sidecar-missing",
            "Istio's rules capture the pod's requests, but the pod has no sidecar to receive them",
            seen=f"chain {rules[0]}, no container {_CONTAINER}, nothing on port {_INBOUND}",
            advice=f"delete the pod so that it is injected anew: kubectl delete pod -n {evidence.pod.namespace} "
            f"{evidence.pod.name}",
        )


def _sidecar_absent(evidence: Evidence) -> TargetFailure:
    return TargetFailure(
        "istio-sidecar-not-running",
        "The pod was injected with Istio's sidecar, but the sidecar does not run",
        seen=f"nothing listens on ports {_INBOUND} and {_OUTBOUND}",
        advice=f"see why: kubectl logs -n {evidence.pod.namespace} {evidence.pod.name} -c {_CONTAINER}",
    )
