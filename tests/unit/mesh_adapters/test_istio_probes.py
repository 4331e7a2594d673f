"""Health probes that Istio rewrote."""

import json

import pytest

from kdev.errors import TargetFailure
from kdev.mesh_adapters.istio_probes import VARIABLE, rewritten_probes
from kdev.tunnel.messages import Probe


def probes(originals: object) -> tuple[Probe, ...]:
    """What is read from the variable with this content."""
    return rewritten_probes({VARIABLE: json.dumps(originals)})


def test_every_kind_of_probe_is_read() -> None:
    """HTTP with and without extras, gRPC and TCP; of HTTPS only the port can be told."""
    headers = [{"name": "X-Any", "value": "1"}, {"name": "user-agent", "value": "monitor/1"}]
    assert probes(
        {
            "/app-health/app/readyz": {"httpGet": {"path": "/ready?x=1", "port": 8080, "scheme": "HTTP"}},
            "/app-health/app/livez": {"httpGet": {"path": "live", "port": 8080, "httpHeaders": headers}},
            "/app-health/app/startupz": {"httpGet": {"port": 8081}, "timeoutSeconds": 1},
            "/app-health/b/livez": {"grpc": {"port": 9090, "service": "x"}},
            "/app-health/c/livez": {"tcpSocket": {"port": 5432}},
            "/app-health/d/livez": {"httpGet": {"path": "/", "port": 8443, "scheme": "HTTPS"}},
            "/app-lifecycle/app/prestopz": {"httpGet": {"path": "/stop", "port": 8080}},
        }
    ) == (
        Probe(port=8080, path="/ready", rewritten=True),
        Probe(port=8080, path="/live", user_agent="monitor/1", rewritten=True),
        Probe(port=8081, path="/", rewritten=True),
        Probe(port=9090, path="/grpc.health.v1.Health/Check", rewritten=True),
        Probe(port=5432, path="", rewritten=True),
        Probe(port=8443, path="", rewritten=True),
        Probe(port=8080, path="/stop", rewritten=True),
    )


def test_a_pod_whose_probes_were_not_rewritten_has_none() -> None:
    """The variable is missing where there was nothing to rewrite."""
    assert rewritten_probes({}) == ()


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '{"a": {}}', '{"a": 1}', '{"a": {"tcpSocket": {"port": "http"}}}', '{"a": {"grpc": {"port": 0}}}'],
)
def test_what_istio_did_not_write_is_refused(text: str) -> None:
    """Unreadable probes must not be mistaken for requests in silence."""
    with pytest.raises(TargetFailure, match="cannot be read"):
        rewritten_probes({VARIABLE: text})
