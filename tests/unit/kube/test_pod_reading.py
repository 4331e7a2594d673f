"""What is read of a pod: ports, probes, and the facts for the agent."""

import json
from typing import Any

import msgspec
import pytest

from kdev.errors import Failure, TargetFailure, UsageFailure
from kdev.kube.objects import Pod
from kdev.kube.pod_facts import pod_facts
from kdev.kube.ports import PortPair, choose_ports, declared_ports, parse_port
from kdev.kube.probes import probes_of
from kdev.tunnel.messages import Container, Probe
from tests.unit.kube.fake_cluster import pod_object

PROBERS = {"/app-health/app/livez": {"httpGet": {"path": "/healthz", "port": 8080}}}
SIDECAR = {
    "name": "istio-proxy",
    "image": "proxyv2",
    "ports": [{"containerPort": 15090}],
    "env": [
        {"name": "ISTIO_KUBE_APP_PROBERS", "value": json.dumps(PROBERS)},
        {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ],
    "readinessProbe": {"httpGet": {"path": "/healthz/ready", "port": 15021}},
    "securityContext": {"runAsUser": 1337},
}


def pod(*containers: dict[str, Any], **spec: Any) -> Pod:
    """A pod of these containers."""
    return msgspec.convert(pod_object(containers=list(containers), **spec), Pod)


def app(**fields: Any) -> dict[str, Any]:
    """The application's container."""
    ports = [{"containerPort": 8080, "name": "http"}, {"containerPort": 53, "protocol": "UDP"}]
    return {"name": "app", "image": "shop", "ports": ports} | fields


def test_declared_ports() -> None:
    """TCP ports of the application are declared ones; the mesh's and UDP ones are not."""
    sidecar = {"name": "helper", "restartPolicy": "Always", "ports": [{"containerPort": 9000}]}
    once = {"name": "once", "ports": [{"containerPort": 9001}]}
    assert declared_ports(pod(app(), SIDECAR, initContainers=[sidecar, once])) == (8080, 9000)


def test_chosen_ports() -> None:
    """Every declared port is chosen, or the wanted ones."""
    assert choose_ports([pod(app())], ()) == (PortPair(8080, 8080),)
    assert choose_ports([pod(app())], [PortPair(8080, 3000)]) == (PortPair(8080, 3000),)
    assert choose_ports([pod({"name": "app"})], [PortPair(4000, 4000)]) == (PortPair(4000, 4000),)


def test_an_undeclared_port() -> None:
    """A port that the target does not declare is refused, and the declared ones are told."""
    with pytest.raises(UsageFailure) as raised:
        choose_ports([pod(app())], [PortPair(8081, 8081)])
    assert raised.value.explanation.seen == "declared: 8080"


def test_no_port_at_all() -> None:
    """A target that declares no port needs one to be named."""
    with pytest.raises(TargetFailure):
        choose_ports([pod({"name": "app"})], ())


def test_a_repeated_port() -> None:
    """A port of the pod leads to one local port."""
    with pytest.raises(UsageFailure):
        choose_ports([pod(app())], [PortPair(8080, 1), PortPair(8080, 2)])


@pytest.mark.parametrize(
    "text", ["", "http", "0", "65536", "8080:", ":3000", "1:2:3", "-1", "8080:70000", "٣", "1" * 99]
)
def test_what_is_no_port(text: str) -> None:
    """Anything but one or two port numbers is refused."""
    with pytest.raises(UsageFailure):
        parse_port(text)


def test_ports_as_typed() -> None:
    """A port stands for itself here, unless another is named."""
    assert [parse_port("8080"), parse_port("8080:3000")] == [PortPair(8080, 8080), PortPair(8080, 3000)]


def test_probes_of_all_forms() -> None:
    """HTTP, TCP and gRPC probes of all three purposes, with named ports, queries and their own user agent."""
    headers = [{"name": "user-agent", "value": "mine"}]
    found = probes_of(
        pod(
            app(
                livenessProbe={"httpGet": {"path": "healthz?full=1", "port": "http"}},
                readinessProbe={"httpGet": {"path": "/readyz", "port": 8081, "httpHeaders": headers}},
                startupProbe={"tcpSocket": {"port": "8082"}},
            ),
            {"name": "rpc", "livenessProbe": {"grpc": {"port": 9090}}},
            {"name": "tls", "livenessProbe": {"httpGet": {"path": "/x", "port": 8443, "scheme": "HTTPS"}}},
            {"name": "script", "livenessProbe": {"exec": {"command": ["true"]}}},
        )
    )
    assert found == (
        Probe(port=8080, path="/healthz"),
        Probe(port=8081, path="/readyz", user_agent="mine"),
        Probe(port=8082, path=""),
        Probe(port=9090, path="/grpc.health.v1.Health/Check"),
        Probe(port=8443, path=""),
    )


def test_probes_that_istio_rewrote() -> None:
    """A probe that ends at Istio's agent is replaced by the original that the agent sends."""
    rewritten = app(livenessProbe={"httpGet": {"path": "/app-health/app/livez", "port": 15020}})
    assert probes_of(pod(rewritten, SIDECAR)) == (Probe(port=8080, path="/healthz", rewritten=True),)


def test_unreadable_record_of_probes() -> None:
    """Probes that cannot be known are told, instead of being taken for requests."""
    broken = SIDECAR | {"env": [{"name": "ISTIO_KUBE_APP_PROBERS", "value": "{"}]}
    with pytest.raises(Failure):
        probes_of(pod(app(), broken))


def test_pod_facts() -> None:
    """The agent learns what tells a mesh apart, and no variable of the application."""
    secret = app(env=[{"name": "PASSWORD", "value": "x"}], securityContext={"runAsUser": 1000})
    facts = pod_facts(pod(secret, SIDECAR, initContainers=[{"name": "istio-init"}], securityContext={"runAsGroup": 5}))
    assert (facts.namespace, facts.name, facts.ip, facts.labels) == (
        "staging",
        "checkout-1",
        "10.1.0.7",
        {"app": "checkout"},
    )
    assert facts.containers == (
        Container(name="istio-init", image="", init=True, group=5),
        Container(name="app", image="shop", user=1000, group=5),
        Container(
            name="istio-proxy",
            image="proxyv2",
            user=1337,
            group=5,
            environment={"ISTIO_KUBE_APP_PROBERS": json.dumps(PROBERS)},
        ),
    )
