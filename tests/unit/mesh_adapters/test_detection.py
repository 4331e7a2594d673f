"""Which mesh is found in which pod, and how its hop is tapped."""

from ipaddress import ip_address
from typing import Any

import pytest

from kdev.errors import TargetFailure
from kdev.mesh_adapters.detection import ADAPTERS, detect
from kdev.mesh_adapters.interface import Chain, Evidence, Hop, Identity, Listener
from kdev.tunnel.messages import Container, PodFacts

ISTIO_LISTENERS = {15000: "127.0.0.1", 15001: "0.0.0.0", 15006: "0.0.0.0", 15021: "0.0.0.0", 15090: "0.0.0.0"}
INJECTED = {"sidecar.istio.io/status": "{}"}


def evidence(
    *,
    listeners: dict[int, str] | None = None,
    uid: int = 1337,
    chains: tuple[str, ...] = (),
    annotations: dict[str, str] | None = None,
    containers: tuple[Container, ...] = (),
    ip: str = "10.0.0.7",
) -> Evidence:
    """What the agent would gather in such a pod."""
    pod = PodFacts(namespace="staging", name="checkout-1", ip=ip, annotations=annotations or {}, containers=containers)
    return Evidence(
        pod,
        frozenset(Listener(ip_address(address), port, uid) for port, address in (listeners or {}).items()),
        frozenset(Chain("ip", "nat", name) for name in chains),
    )


def sidecar(user: int | None = 1337, group: int | None = 1337, **environment: str) -> tuple[Container, ...]:
    """The containers of a pod with a native sidecar."""
    proxy = Container(
        name="istio-proxy",
        image="proxyv2",
        init=True,
        sidecar=True,
        user=user,
        group=group,
        environment=environment,
    )
    return (Container(name="app", image="app"), proxy)


def istio(**changes: Any) -> Evidence:
    """An ordinary pod with Istio's sidecar, but for the changes."""
    ordinary = {"listeners": ISTIO_LISTENERS, "annotations": INJECTED, "containers": sidecar()}
    return evidence(**(ordinary | changes))


def test_an_istio_sidecar_is_tapped_by_its_source_address() -> None:
    """The default capture: the hop comes from 127.0.0.6, and the caller stands in XFCC."""
    mesh = detect(istio(chains=("ISTIO_INBOUND", "ISTIO_OUTPUT")))
    assert mesh.name == "istio"
    assert mesh.hops == (Hop(local=True, source=ip_address("127.0.0.6")),)
    assert mesh.identity == Identity(b"x-forwarded-client-cert", "xfcc")
    assert mesh.proxy_uid == 1337
    assert mesh.ready_url == "http://127.0.0.1:15021/healthz/ready"
    assert mesh.reserved_ports >= {15000, 15001, 15006, 15008, 15020, 15021, 15053, 15090}
    assert mesh.warnings == ()


@pytest.mark.parametrize(
    "pod",
    [
        istio(annotations={}),
        istio(containers=()),
        istio(annotations={}, containers=()),
        istio(chains=("istio-inbound", "istio-output")),
    ],
    ids=["container", "annotation", "listeners", "native-nftables"],
)
def test_one_sign_of_a_running_sidecar_is_enough(pod: Evidence) -> None:
    """Container, annotation or listeners; the rules' backend makes no difference."""
    assert detect(pod).hops == (Hop(local=True, source=ip_address("127.0.0.6")),)


def test_both_address_families_are_tapped() -> None:
    """In a dual-stack pod the hop exists twice; in an IPv6 pod only as ::6."""
    dual = detect(istio(ip="fd00::7"))
    assert {hop.source for hop in dual.hops} == {ip_address("127.0.0.6"), ip_address("::6")}
    only = detect(istio(ip="fd00::7", listeners={15001: "::", 15006: "::"}))
    assert only.hops == (Hop(local=True, source=ip_address("::6")),)


def test_the_sidecars_user_is_the_one_that_listens() -> None:
    """OpenShift gives the sidecar a user out of the namespace's range."""
    assert detect(istio(uid=1000660001)).proxy_uid == 1000660001


@pytest.mark.parametrize(
    ("uid", "owner"), [(1337, {"uid": 1337}), (1000660001, {"uid": 1000660001}), (0, {"gid": 1337})]
)
def test_a_sidecar_that_dials_loopback_is_tapped_by_its_owner(uid: int, owner: dict[str, int]) -> None:
    """Inbound policy LOCALHOST: destination and user tell the hop, or the group where the user is root."""
    containers = sidecar(REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION="true")
    mesh = detect(istio(uid=uid, containers=containers))
    assert mesh.hops == (Hop(local=True, destination=ip_address("127.0.0.1"), **owner),)


@pytest.mark.parametrize(
    "sign",
    [
        {"chains": ("ISTIO_TPROXY",)},
        {"chains": ("istio-tproxy",)},
        {"containers": sidecar(user=0, ISTIO_META_INTERCEPTION_MODE="TPROXY")},
        {"annotations": INJECTED | {"sidecar.istio.io/interceptionMode": "TPROXY"}},
    ],
)
def test_tproxy_is_tapped_by_its_mark(sign: dict[str, Any]) -> None:
    """The hop bears the client's address; mark and group tell it, and the listener needs the mark too."""
    mesh = detect(istio(uid=0, **sign))
    assert mesh.hops == (Hop(local=True, gid=1337, mark=(1337, 0xFFFFFFFF), listener_mark=1337),)


@pytest.mark.parametrize(
    ("annotation", "value", "warned"),
    [
        ("excludeInboundPorts", "9090", "9090 go past"),
        ("excludeInboundPorts", "", None),
        ("includeInboundPorts", "8080,8081", "Only requests to the ports 8080,8081"),
        ("includeInboundPorts", "", "Only requests to the ports (none)"),
        ("includeInboundPorts", "*", None),
    ],
)
def test_ports_past_the_sidecar_are_told(annotation: str, value: str, warned: str | None) -> None:
    """A port that the sidecar does not capture never passes the tapped hop."""
    mesh = detect(istio(annotations=INJECTED | {f"traffic.sidecar.istio.io/{annotation}": value}))
    assert [warned in warning for warning in mesh.warnings] == ([True] if warned else [])


@pytest.mark.parametrize(
    ("pod", "reference"),
    [
        (istio(listeners={}), "istio-sidecar-not-running"),
        (istio(listeners={15001: "0.0.0.0"}, containers=()), "istio-sidecar-not-running"),
        (evidence(chains=("ISTIO_INBOUND",)), "istio-sidecar-missing"),
        (evidence(chains=("istio-inbound",)), "istio-sidecar-missing"),
        (istio(annotations={"sidecar.istio.io/interceptionMode": "NONE"}), "istio-interception-none"),
        (istio(containers=sidecar(ISTIO_META_INTERCEPTION_MODE="NONE")), "istio-interception-none"),
        (istio(listeners={}, containers=sidecar(DISABLE_ENVOY="true")), "istio-proxyless"),
    ],
)
def test_half_a_sidecar_is_refused(pod: Evidence, reference: str) -> None:
    """Injected but not running, captured but not injected, or not capturing: each is told apart."""
    with pytest.raises(TargetFailure) as failure:
        detect(pod)
    assert failure.value.explanation.reference == reference


@pytest.mark.parametrize(
    "pod",
    [
        evidence(annotations={"ambient.istio.io/redirection": "enabled"}),
        evidence(chains=("ISTIO_PRERT", "ISTIO_OUTPUT")),
        evidence(chains=("istio-prerouting",)),
    ],
)
def test_ambient_is_tapped_by_ztunnels_mark(pod: Evidence) -> None:
    """The hop bears ztunnel's mark, the listener the mark of the answers; nobody names the caller."""
    mesh = detect(pod)
    assert mesh.name == "istio-ambient"
    assert mesh.hops == (Hop(local=True, mark=(0x539, 0xFFF), listener_mark=0x111),)
    assert mesh.identity is None


def test_a_pod_that_ambient_is_yet_to_enrol_has_no_mesh() -> None:
    """``pending`` means that nothing is captured yet."""
    assert detect(evidence(annotations={"ambient.istio.io/redirection": "pending"})).name == "none"


@pytest.mark.parametrize(
    ("pod", "mesh"),
    [
        (evidence(containers=(Container(name="linkerd-proxy", image="proxy"),)), "Linkerd"),
        (evidence(chains=("PROXY_INIT_REDIRECT",)), "Linkerd"),
        (
            evidence(
                containers=(Container(name="kuma-sidecar", image="dp"),),
                listeners={15001: "0.0.0.0", 15006: "0.0.0.0", 9901: "127.0.0.1"},
                uid=5678,
            ),
            "Kuma",
        ),
        (evidence(chains=("CONSUL_PROXY_INBOUND",)), "Consul"),
        (evidence(chains=("OSM_PROXY_INBOUND",)), "Open Service Mesh"),
        (evidence(chains=("CILIUM_PREROUTING",)), "Cilium"),
    ],
)
def test_a_mesh_that_kdev_cannot_tap_is_named(pod: Evidence, mesh: str) -> None:
    """Its pods are refused instead of tapped as if there were no mesh."""
    with pytest.raises(TargetFailure, match=mesh) as failure:
        detect(pod)
    assert failure.value.explanation.reference == "mesh-not-supported"


def test_without_a_mesh_the_tap_is_at_the_pods_door() -> None:
    """Requests come from outside, so that the listener cannot be on loopback."""
    mesh = detect(evidence(listeners={8080: "0.0.0.0", 15001: "127.0.0.1"}, chains=("KUBE-FORWARD",)))
    assert (mesh.name, mesh.identity, mesh.proxy_uid) == ("none", None, None)
    assert mesh.hops == (Hop(local=False, loopback_listener=False),)


def test_adapters_have_names_of_their_own() -> None:
    """The name is what the user is told."""
    assert len({adapter.name for adapter in ADAPTERS}) == len(ADAPTERS)
