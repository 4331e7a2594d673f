"""``kubectl debug`` on the real node, with the kubectl of Debian and a current one."""

import json
import time
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from tests.integration.sandbox.conftest import Sandbox

pytestmark = pytest.mark.root

_Which = Literal["current", "debian"]
_BASELINE = "pod-security.kubernetes.io/enforce=baseline"


@pytest.fixture
def pod(sandbox: Sandbox) -> Iterator[str]:
    """A pod of the test's own in a namespace of its own, which enforces nothing."""
    assert sandbox.kubectl("create", "namespace", "debugged").returncode == 0
    app = {"name": "app", "image": "host", "command": ["sleep", "1000"]}
    made = {"containers": [app], "terminationGracePeriodSeconds": 0}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web", "namespace": "debugged"}, "spec": made}
    try:
        applied = sandbox.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        assert applied.returncode == 0, applied.stderr
        ready = sandbox.kubectl("-n", "debugged", "wait", "--for=condition=Ready", "pod/web", "--timeout=60s")
        assert ready.returncode == 0, ready.stderr
        yield "web"
    finally:
        sandbox.kubectl("delete", "namespace", "debugged", "--wait=true")


def _until_running(sandbox: Sandbox, pod: str, name: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        shown = sandbox.kubectl("-n", "debugged", "get", "pod", pod, "-o", "json")
        statuses: list[dict[str, Any]] = json.loads(shown.stdout)["status"].get("ephemeralContainerStatuses") or []
        if any(each["name"] == name and "running" in each["state"] for each in statuses):
            return
        assert time.monotonic() < deadline, statuses
        time.sleep(0.1)


@pytest.mark.parametrize("which", ["current", "debian"])
def test_debug_starts_a_container_that_exec_enters(sandbox: Sandbox, pod: str, which: _Which) -> None:
    """It runs in the pod's network, beside the app and not as the app; commands run inside it."""
    words = ("debug", pod, "--image=host", "--container=look", "--attach=false", "--", "sleep", "4321")
    started = sandbox.kubectl("-n", "debugged", *words, which=which)
    assert started.returncode == 0, started.stderr
    _until_running(sandbox, pod, "look")
    inside = sandbox.kubectl("-n", "debugged", "exec", pod, "-c", "look", "--", "cat", "/proc/1/cmdline", which=which)
    assert inside.stdout == "sleep\x004321\x00"
    address = sandbox.kubectl("-n", "debugged", "exec", pod, "-c", "look", "--", "hostname", "-i", which=which).stdout
    (described,) = [each for each in sandbox.status()["pods"] if each["namespace"] == "debugged"]
    assert address.strip() == described["ip"]
    assert {"name": "look", "ephemeral": True}.items() <= described["containers"][-1].items()


def test_pod_security_refuses_added_capabilities(sandbox: Sandbox, pod: str) -> None:
    """``--profile=netadmin`` in a namespace that enforces baseline is refused in the words of a real cluster."""
    assert sandbox.kubectl("label", "namespace", "debugged", _BASELINE).returncode == 0
    words = ("debug", pod, "--image=host", "--profile=netadmin", "--container=net", "--attach=false", "--", "true")
    refused = sandbox.kubectl("-n", "debugged", *words)
    assert refused.returncode != 0
    assert (
        'pods "web" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities '
        '(container "net" must not include "NET_ADMIN", "NET_RAW" in securityContext.capabilities.add)'
    ) in refused.stderr
