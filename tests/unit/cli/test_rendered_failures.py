"""What users read when something fails, word for word: the snapshot beside this file.

With ``KDEV_RENEW_SNAPSHOTS`` set it is written anew; read the difference before it is committed.
"""

import os
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from kdev.agent.settings import Settings
from kdev.cli.failures import render
from kdev.cli.values import parse_duration, parse_probe, parse_share
from kdev.errors import Failure
from kdev.kube.agent_container import AgentSpec
from kdev.kube.kubeconfig import read_kubeconfig
from kdev.kube.objects import ContainerState, Pod
from kdev.kube.placement import pod_gone, start_failure
from kdev.kube.ports import choose_ports, parse_port
from kdev.kube.refusals import Question, refusal, rights_missing, unreachable
from kdev.kube.targets import check_namespace, parse_target
from kdev.session.plan import check_filters
from tests.unit.kube.fake_cluster import pod_object

SNAPSHOT = Path(__file__).with_name("rendered_failures.txt")
QUESTION = Question("https://203.0.113.7:6443", "staging", "list pods in namespace staging")
POD = msgspec.convert(pod_object(), Pod)
AGENT = AgentSpec("kdev-agent:1", Settings("0a1b2c3d", bytes(32), "alice@laptop", 15910))


def status(message: str, reason: str = "") -> bytes:
    """A Kubernetes Status."""
    return msgspec.json.encode({"kind": "Status", "message": message, "reason": reason})


def answers() -> Iterator[tuple[str, object]]:
    """What API servers refuse."""
    right = 'pods is forbidden: User "a" cannot list resource "pods" in API group "" in the namespace "staging"'
    yield "401", refusal(401, status("Unauthorized"), QUESTION)
    yield "403 for a right", refusal(403, status(right), QUESTION)
    yield "403 by Pod Security", refusal(403, status('violates PodSecurity "baseline:latest": non-default'), QUESTION)
    yield "403 by an admission policy", refusal(403, status("policy x: no debugging on Fridays"), QUESTION)
    yield "429", refusal(429, status("too many requests"), QUESTION)
    yield "500", refusal(500, status("etcd is gone", "InternalError"), QUESTION)
    yield "422", refusal(422, status("the pod is invalid", "Invalid"), QUESTION)
    yield "502", refusal(502, b"<html>Bad Gateway</html>", QUESTION)
    yield "a web page", refusal(404, b"<html>Welcome</html>", QUESTION)
    yield "all rights", rights_missing([("patch", "pods/ephemeralcontainers"), ("get", "pods")], "staging", "no role")


def connections() -> Iterator[tuple[str, object]]:
    """How the way to an API server fails."""
    yield "refused", unreachable(ConnectionRefusedError(111, "Connection refused"), QUESTION)
    yield "silent", unreachable(TimeoutError(), QUESTION)
    yield "TLS", unreachable(ssl.SSLError(1, "wrong version number"), QUESTION)
    untrusted = ssl.SSLCertVerificationError("certificate verify failed")
    untrusted.verify_message = "self-signed certificate"
    yield "an unknown authority", unreachable(untrusted, QUESTION)


def containers() -> Iterator[tuple[str, object]]:
    """How the agent's container fails to start, and how its pod goes."""
    for reason in ("ImagePullBackOff", "CrashLoopBackOff"):
        state = msgspec.convert({"waiting": {"reason": reason, "message": "back-off"}}, ContainerState)
        yield reason, start_failure(state, POD, AGENT)
    ended = msgspec.convert({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, ContainerState)
    yield "ended", start_failure(ended, POD, AGENT)
    yield "gone", pod_gone(POD, 'pods "checkout-1" not found')


INPUT: dict[str, Callable[[], object]] = {
    "a kind": lambda: parse_target("cronjob/x"),
    "a name": lambda: parse_target("deploy/Check_out"),
    "a namespace": lambda: check_namespace("Staging"),
    "a port": lambda: parse_port("http"),
    "an undeclared port": lambda: choose_ports([POD], [parse_port("9999")]),
    "a repeated port": lambda: choose_ports([POD], [parse_port("8080:1"), parse_port("8080:2")]),
    "no port": lambda: choose_ports([msgspec.convert(pod_object(containers=[{"name": "a"}]), Pod)], []),
    "a share": lambda: parse_share("110%"),
    "a duration": lambda: parse_duration("soon"),
    "a probe": lambda: parse_probe("healthz"),
    "an unknown key": lambda: check_filters(["pth=/x"]),
    "a stray word": lambda: check_filters(["path=/x and"]),
    "an open quote": lambda: check_filters(["path='/x"]),
    "no kubeconfig": lambda: read_kubeconfig({"HOME": "/nowhere"}, None),
}


def inputs() -> Iterator[tuple[str, object]]:
    """What users may have meant otherwise."""
    for name, read in INPUT.items():
        with pytest.raises(Failure) as raised:
            read()
        yield name, raised.value


def test_snapshot() -> None:
    """Every failure reads as it was reviewed."""
    pages: list[str] = []
    for chapter in (answers, connections, containers, inputs):
        for name, failure in chapter():
            assert isinstance(failure, Failure), name
            pages.append(f"--- {chapter.__name__}: {name}\n{render(failure)}\n")
    text = "\n".join(pages)
    if os.environ.get("KDEV_RENEW_SNAPSHOTS"):
        SNAPSHOT.write_text(text)
    assert text == SNAPSHOT.read_text()
