"""The mesh's shape: injection, Envoy's configuration, certificates."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from cryptography import x509

from kdev.sandbox.interface import Object, Service, ServicePort
from kdev.sandbox.mesh.certificates import CertificateAuthority, spiffe_identity
from kdev.sandbox.mesh.inbound import PASSTHROUGH, inbound_clusters, inbound_listener
from kdev.sandbox.mesh.injection import inject
from kdev.sandbox.mesh.outbound import outbound_clusters, outbound_listeners
from kdev.sandbox.mesh.protocols import PortProtocol, protocol_of

MESHED: Object = {"metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}}}
HTTP = ServicePort("http", 80, "TCP", "", (("10.244.0.2", 8080), ("10.244.0.9", 8080)))
TCP = ServicePort("tcp-db", 5432, "TCP", "", ())
AUTO = ServicePort("", 7000, "TCP", "", (("10.244.0.2", 7000),))
UDP = ServicePort("dns", 53, "UDP", "", ())
CART = Service("shop", "cart", "10.96.0.7", (HTTP, TCP, AUTO, UDP))


def _pod(**container: object) -> Object:
    return {"metadata": {"name": "cart"}, "spec": {"containers": [{"name": "app", **container}]}}


def _ports(name: str, app_protocol: str = "") -> PortProtocol:
    return protocol_of(ServicePort(name, 1, "TCP", app_protocol, ()))


# ---- injection


def test_a_pod_of_a_meshed_namespace_gets_a_native_sidecar() -> None:
    """The sidecar is the first init container, stays, runs as 1337, and the pod says that it is meshed."""
    pod = inject(_pod(), MESHED)
    sidecar = pod["spec"]["initContainers"][0]
    assert (sidecar["name"], sidecar["restartPolicy"]) == ("istio-proxy", "Always")
    assert sidecar["securityContext"]["runAsUser"] == 1337
    assert json.loads(pod["metadata"]["annotations"]["sidecar.istio.io/status"])["initContainers"] == ["istio-proxy"]


@pytest.mark.parametrize(
    ("pod", "namespace"),
    [
        (_pod(), {"metadata": {"name": "lab"}}),
        ({**_pod(), "metadata": {"name": "x", "labels": {"sidecar.istio.io/inject": "false"}}}, MESHED),
        (inject(_pod(), MESHED), MESHED),
    ],
)
def test_other_pods_stay_as_they_are(pod: Object, namespace: Object) -> None:
    """No label, a pod that declines, and a pod that has a sidecar: nothing changes."""
    assert inject(pod, namespace) == pod


def test_the_given_pod_is_not_changed() -> None:
    """Injection makes a new object; what the user sent stays."""
    pod = _pod(readinessProbe={"httpGet": {"port": 1}})
    inject(pod, MESHED)
    assert pod == _pod(readinessProbe={"httpGet": {"port": 1}})


def test_probes_lead_through_the_sidecar_and_are_remembered() -> None:
    """A network probe asks port 15020, its original is in ISTIO_KUBE_APP_PROBERS; an exec probe stays."""
    pod = inject(
        _pod(
            ports=[{"name": "web", "containerPort": 8080}],
            readinessProbe={"httpGet": {"path": "/readyz", "port": "web"}, "periodSeconds": 2},
            livenessProbe={"exec": {"command": ["true"]}},
        ),
        MESHED,
    )
    probe = pod["spec"]["containers"][0]["readinessProbe"]
    assert probe == {
        "httpGet": {"path": "/app-health/app/readyz", "port": 15020, "scheme": "HTTP"},
        "periodSeconds": 2,
    }
    assert pod["spec"]["containers"][0]["livenessProbe"] == {"exec": {"command": ["true"]}}
    variables = {v["name"]: v.get("value") for v in pod["spec"]["initContainers"][0]["env"]}
    assert json.loads(variables["ISTIO_KUBE_APP_PROBERS"]) == {
        "/app-health/app/readyz": {"httpGet": {"path": "/readyz", "port": 8080}, "timeoutSeconds": 1}
    }


# ---- protocols


@pytest.mark.parametrize("name", ["http", "http-api", "grpc", "http2-x", "grpc-web"])
def test_names_that_mean_http(name: str) -> None:
    """A port's name up to the first dash says that it is HTTP."""
    assert _ports(name) is PortProtocol.HTTP


def test_app_protocol_counts_before_the_name() -> None:
    """AppProtocol decides where both are given; neither means looking at the bytes."""
    assert _ports("http", "tcp") is PortProtocol.TCP
    assert _ports("postgres") is PortProtocol.AUTO
    assert _ports("") is PortProtocol.AUTO


# ---- Envoy


def test_no_inbound_chain_takes_plaintext() -> None:
    """STRICT: every filter chain wants TLS with a client certificate, and there is none to fall back to."""
    listener = inbound_listener({8080: PortProtocol.HTTP, 5432: PortProtocol.TCP, 7000: PortProtocol.AUTO})
    assert "default_filter_chain" not in listener
    for each in listener["filter_chains"]:
        assert each["filter_chain_match"]["transport_protocol"] == "tls"
        assert each["transport_socket"]["typed_config"]["require_client_certificate"] is True


def test_inbound_http_tells_the_app_who_called() -> None:
    """An HTTP chain appends the caller's identity to XFCC."""
    first = inbound_listener({8080: PortProtocol.HTTP})["filter_chains"][0]
    manager = first["filters"][0]["typed_config"]
    assert first["filter_chain_match"]["destination_port"] == 8080
    assert manager["forward_client_cert_details"] == "APPEND_FORWARD"
    assert manager["set_current_client_cert_details"] == {"subject": True, "uri": True, "dns": True}


def test_inbound_calls_come_from_127_0_0_6() -> None:
    """The hop to the app is recognisable by its source, for every port."""
    clusters = inbound_clusters({8080: PortProtocol.HTTP})
    assert [cluster["name"] for cluster in clusters] == ["inbound|8080||", PASSTHROUGH]
    for cluster in clusters:
        assert cluster["upstream_bind_config"]["source_address"]["address"] == "127.0.0.6"


def test_outbound_has_a_listener_for_each_service_port() -> None:
    """Service listeners bind nothing: the capturing listener hands connections over by destination."""
    first, *of_services = outbound_listeners([CART, Service("shop", "headless", "", (HTTP,))])
    assert first["use_original_dst"] is True
    assert [listener["name"] for listener in of_services] == ["10.96.0.7_80", "10.96.0.7_5432", "10.96.0.7_7000"]
    assert not any(listener["bind_to_port"] for listener in of_services)


def test_every_cluster_that_is_named_exists_and_has_endpoints() -> None:
    """What a listener leads to is a cluster, and each service cluster has its endpoints in it."""
    described = list(outbound_clusters([CART], set()))
    clusters = {cluster["name"] for cluster in described}
    text = json.dumps(list(outbound_listeners([CART])))
    named = {name for name in clusters if json.dumps(name) in text}
    assert named == clusters
    assert {cluster["name"] for cluster in described if "load_assignment" in cluster} == named - {"PassthroughCluster"}


def test_mtls_is_used_where_the_endpoint_has_a_sidecar() -> None:
    """Automatic mTLS: endpoints with a sidecar are marked, others are called in clear."""
    _, cluster, *_ = outbound_clusters([CART], {"10.244.0.2"})
    marked, clear = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert marked["metadata"]["filter_metadata"]["envoy.transport_socket_match"] == {"tlsMode": "istio"}
    assert "metadata" not in clear


def test_services_cost_a_sidecar_no_watched_file() -> None:
    """Envoy follows the same few files whatever the number of services: inotify instances are scarce."""
    few, many = (json.dumps(list(outbound_clusters(services, set()))) for services in ([CART], [CART] * 9))
    files = [set(re.findall(r"/run/[^\"]*json", text)) for text in (few, many)]
    assert files[0] == files[1] == {"/run/istio/proxy/certificate.json", "/run/istio/proxy/root.json"}


def test_istios_retries_are_on() -> None:
    """Outbound HTTP retries what Istio retries by default, unless the service is without."""
    text = json.dumps(list(chain(outbound_listeners([CART]))))
    assert '"connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes"' in text
    assert "retry_on" not in json.dumps(list(outbound_listeners([replace(CART, retries=False)])))


# ---- certificates


def test_a_workloads_certificate_carries_its_spiffe_identity() -> None:
    """The only name is the SPIFFE URI; it lives as long as asked and is signed by the root."""
    authority = CertificateAuthority(timedelta(minutes=10))
    issued = authority.issue(spiffe_identity("shop", "cart"))
    certificate, root = x509.load_pem_x509_certificates(issued.chain.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://cluster.local/ns/shop/sa/cart"]
    assert certificate.not_valid_after_utc - datetime.now(UTC) <= timedelta(minutes=10)
    certificate.verify_directly_issued_by(root)
    assert issued.chain.endswith(authority.root)
