"""Health probes stay on the pod."""

import pytest

from kdev.policies.matching import compile_filters
from kdev.tunnel.messages import Probe

HTTP = Probe(port=8080, path="/healthz?full=1")
REWRITTEN = Probe(port=8081, path="/ready", rewritten=True)
NAMED = Probe(port=8080, path="/named", user_agent="monitor/1")
GRPC = Probe(port=9090, path="/grpc.health.v1.Health/Check")
TCP = Probe(port=8080, path="")

MATCHER = compile_filters([], identity=None, probes=(HTTP, REWRITTEN, NAMED, GRPC, TCP))


def head(method: str, target: str, **fields: str) -> bytes:
    """An HTTP/1 head; underscores in names are dashes."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in fields.items())
    return f"{method} {target} HTTP/1.1\r\nHost: pod\r\n{lines}\r\n".encode()


@pytest.mark.parametrize(
    ("port", "method", "target", "fields"),
    [
        (8080, "GET", "/healthz", {"user_agent": "kube-probe/1.34"}),
        (8080, "GET", "/healthz?full=1", {"user_agent": "kube-probe/1.34"}),
        (8080, "GET", "/healthz", {"user_agent": "kube-probe/1.34", "x_request_id": "1"}),
        (8080, "GET", "/healthz", {"user_agent": "kube-lifecycle/1.34"}),
        (8081, "GET", "/ready", {"user_agent": "kube-probe/1.34"}),
        (8080, "GET", "/named", {"user_agent": "monitor/1"}),
        (8080, "GET", "/named", {"user_agent": "kube-probe/1.34"}),
        (9090, "POST", "/grpc.health.v1.Health/Check", {"user_agent": "kube-probe/1.34 grpc-go/1.70"}),
    ],
)
def test_a_probe_never_matches(port: int, method: str, target: str, fields: dict[str, str]) -> None:
    """Place, method and User-Agent of a probe make a request one, in both HTTP versions."""
    assert not MATCHER.match_head(head(method, target, **fields), port)
    as_fields = {name.replace("_", "-").encode(): value.encode() for name, value in fields.items()}
    as_fields |= {b":method": method.encode(), b":path": target.encode()}
    assert not MATCHER.match_fields(as_fields, port)


@pytest.mark.parametrize(
    ("port", "method", "target", "fields"),
    [
        (8080, "GET", "/healthz", {"user_agent": "curl/8"}),
        (8080, "GET", "/healthz", {}),
        (8080, "POST", "/healthz", {"user_agent": "kube-probe/1.34"}),
        (8080, "GET", "/healthz/x", {"user_agent": "kube-probe/1.34"}),
        (8081, "GET", "/healthz", {"user_agent": "kube-probe/1.34"}),
        (8081, "GET", "/ready", {"user_agent": "kube-probe/1.34", "x_request_id": "1"}),
        (8080, "GET", "/named", {"user_agent": "monitor/12"}),
        (9090, "GET", "/grpc.health.v1.Health/Check", {"user_agent": "kube-probe/1.34"}),
    ],
)
def test_what_only_resembles_a_probe_matches(port: int, method: str, target: str, fields: dict[str, str]) -> None:
    """Another place, method or sender is an ordinary request, and so is one that came through the sidecar's proxy."""
    assert MATCHER.match_head(head(method, target, **fields), port)


def test_without_probes_nothing_is_spared() -> None:
    """A session that asked for the probes gets them."""
    wants_all = compile_filters([], identity=None, probes=())
    assert wants_all.match_head(head("GET", "/healthz", user_agent="kube-probe/1.34"), 8080)
    assert wants_all.wanted == frozenset()


def test_the_fields_of_probes_are_wanted() -> None:
    """HTTP/2 blocks are decoded far enough to recognise a probe."""
    assert MATCHER.wanted == {b":method", b":path", b"user-agent", b"x-request-id"}
