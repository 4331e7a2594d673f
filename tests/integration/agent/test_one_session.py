"""The agent's whole life in a pod's namespace: tap, serve, hand back."""

import json
import signal

import pytest
from nacl.signing import SigningKey

from kdev.tunnel.messages import Mode
from tests.pod_namespace import POD_IP, SIDECAR_UID, PodNamespace, shadow

pytestmark = pytest.mark.root

URL = f"http://{POD_IP}:8080"


def _ask(pod: PodNamespace, path: str) -> str:
    return pod.run("curl", "-sS", "--max-time", "5", URL + path, user=SIDECAR_UID).rstrip(".")


def test_stolen_requests_are_answered_by_the_local_process_and_others_by_the_pod(pod: PodNamespace) -> None:
    """Matched requests of the sidecar's hop reach the local process, unmatched ones the application."""
    key = SigningKey.generate()
    pod.nginx(POD_IP, 8080, body="pod")
    pod.nginx("127.0.0.1", 3000, body="local")
    pod.agent(key)
    assert _ask(pod, "/api/x") == "pod"
    pod.laptop(key, shadow(Mode.STEAL, "path=/api/*"), {8080: 3000})
    assert _ask(pod, "/api/x") == "local"
    assert _ask(pod, "/other") == "pod"


def test_pod_serves_as_before_when_the_agent_is_killed(pod: PodNamespace) -> None:
    """After kill -9 of the agent the next request is answered by the application, and no rule is left."""
    key = SigningKey.generate()
    pod.nginx(POD_IP, 8080, body="pod")
    pod.nginx("127.0.0.1", 3000, body="local")
    agent = pod.agent(key)
    pod.laptop(key, shadow(Mode.STEAL), {8080: 3000})
    assert _ask(pod, "/") == "local"
    agent.kill()
    agent.wait()
    assert _ask(pod, "/") == "pod"
    assert "kdev" not in pod.run("nft", "list", "ruleset")


def test_session_ends_when_the_laptop_says_so(pod: PodNamespace) -> None:
    """A detached agent drops its tap, says that it has ended, and exits with 0."""
    key = SigningKey.generate()
    pod.nginx(POD_IP, 8080, body="pod")
    pod.nginx("127.0.0.1", 3000, body="local")
    agent = pod.agent(key)
    laptop = pod.laptop(key, shadow(Mode.MIRROR), {8080: 3000})
    assert _ask(pod, "/") == "pod"
    laptop.send_signal(signal.SIGTERM)
    assert laptop.wait(20) == 0
    assert agent.wait(20) == 0
    said = [json.loads(line[line.index("{") :]) for line in laptop.log.read_text().splitlines()]  # type: ignore[attr-defined]
    assert said[-1]["type"] == "ended"
    assert [message["mirrored"] for message in said if message["type"] == "counts"][-1] == 1
    assert "kdev" not in pod.run("nft", "list", "ruleset")
