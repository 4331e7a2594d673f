"""Filters that only a mesh can answer, and the options that decide over what matches."""

import json

import pytest

from tests.integration.matrix.conftest import Caller
from tests.integration.matrix.shadowing import CALLER, Ledgers, shadowing

pytestmark = pytest.mark.root

_OTHER = "staging/storefront"
_TRIES = 20
_REQUESTS = 200


def _ask(ledgers: Ledgers, origin: str) -> str:
    """Who answers a request from a pod."""
    answer = ledgers.sandbox.curl("--from", origin, f"http://{ledgers.workload}:8080/api")
    assert answer.returncode == 0, answer.stderr
    answered: str = json.loads(answer.stdout)["from"]
    return answered


def _settle(ledgers: Ledgers) -> None:
    """Wait until this caller's requests are stolen: a connection of the sidecar moves at its next response."""
    assert "local" in (_ask(ledgers, "staging/caller") for _ in range(_TRIES))


def test_peer(filtered: Ledgers) -> None:
    """Only the named workload's requests are stolen, by the identity that the mesh proved."""
    with shadowing(filtered, "--steal", "--filter", f"peer={CALLER}") as shadow:
        _settle(filtered)
        assert _ask(filtered, _OTHER) == "pod"
        assert _ask(filtered, "staging/caller") == "local"
        shadow.end()


def test_grpc(filtered: Ledgers, caller: Caller) -> None:
    """One method of a service is stolen; the others, on the same connection, stay on the pod."""
    with shadowing(filtered, "--steal", "--filter", "grpc=matrix.Speaker/Up") as shadow:
        shapes = ("unary", "down", "up", "both")
        for number in range(_TRIES):
            seen = caller.python("grpc_client", f"{filtered.workload}:9090", f"grpc-{number}")
            answered = {shape: seen[shape].get("from") for shape in shapes}
            if answered["up"] == "local":
                break
        assert answered == {"unary": "pod", "down": "pod", "up": "local", "both": "pod"}
        shadow.end()


def test_sample(filtered: Ledgers, caller: Caller) -> None:
    """A share of what matches is stolen; nothing is lost of the rest."""
    with shadowing(filtered, "--steal", "--filter", "path=/sampled", "--sample", "50%") as shadow:
        url = f"http://{filtered.workload}:8080/sampled"
        told = caller.run("h2load", "--h1", "-n", str(_REQUESTS), "-c", "4", "-H", "x-cell: sample", url).decode()
        assert f"{_REQUESTS} succeeded, 0 failed" in told
        counts = shadow.end()["counts"]
    stolen = len(filtered.process("sample", "http"))
    assert stolen == counts["stolen"]
    assert 0 < stolen < _REQUESTS
    assert len(filtered.pod("sample", "http")) == _REQUESTS - stolen


def test_probes_when_asked_for(filtered: Ledgers) -> None:
    """With --no-exclude-probes a probe is a request like any other."""
    with shadowing(filtered, "--mirror", "--no-exclude-probes") as shadow:
        probes = filtered.process("", "probe", 2)
        assert {probe["path"] for probe in probes} == {"/healthz"}
        assert all(probe["agent"].startswith("kube-probe/") for probe in probes)
        shadow.end()
