"""What the agent does when its laptop, its pod or a stranger does something unexpected."""

import json
import signal
import subprocess
import sys

import pytest
from nacl.signing import SigningKey

from kdev.tunnel.messages import Mode
from tests.pod_namespace import POD_IP, SIDECAR_UID, PodNamespace, await_in, shadow

pytestmark = pytest.mark.root

STEAL = shadow(Mode.STEAL)


@pytest.fixture
def serving(pod: PodNamespace) -> PodNamespace:
    """A pod with an application, and a local process beside it."""
    pod.nginx(POD_IP, 8080, body="pod")
    pod.nginx("127.0.0.1", 3000, body="local")
    return pod


def _ask(pod: PodNamespace) -> str:
    return pod.run("curl", "-sS", "--max-time", "5", f"http://{POD_IP}:8080/", user=SIDECAR_UID).rstrip(".")


def test_pod_serves_while_the_laptop_is_away_and_the_session_goes_on_when_it_returns(serving: PodNamespace) -> None:
    """A killed laptop gives every request back to the pod; with the same key it finds the same tap again."""
    key = SigningKey.generate()
    agent = serving.agent(key)
    laptop = serving.laptop(key, STEAL, {8080: 3000})
    assert _ask(serving) == "local"
    laptop.kill()
    await_in(agent.log, b"the tunnel is lost")  # type: ignore[attr-defined]
    assert _ask(serving) == "pod"
    serving.laptop(key, STEAL, {8080: 3000})
    assert _ask(serving) == "local"
    assert agent.poll() is None


def test_second_session_is_refused_with_the_first_ones_owner(serving: PodNamespace) -> None:
    """Two agents in one pod: the later one says who shadows it and ends; the first goes on."""
    key = SigningKey.generate()
    serving.agent(key)
    serving.laptop(key, STEAL, {8080: 3000})
    second = serving.agent(key, port=15991)
    with pytest.raises(AssertionError, match=r"pod-already-shadowed.*tests@here"):
        serving.laptop(key, STEAL, {8080: 3000}, port=15991)
    assert second.wait(10) == 5
    assert _ask(serving) == "local"


def test_garbage_on_the_agents_port_changes_nothing(serving: PodNamespace) -> None:
    """Whoever does not speak the protocol, or not with the session's key, is closed out; the session goes on."""
    key = SigningKey.generate()
    agent = serving.agent(key)
    serving.laptop(key, STEAL, {8080: 3000})
    assert serving.run(sys.executable, "-c", _GARBAGE).strip() == "b''"
    with pytest.raises(AssertionError, match="agent-serves-another-session"):
        serving.laptop(SigningKey.generate(), STEAL, {8080: 3000})
    assert b"not-a-laptop" in agent.log.read_bytes()  # type: ignore[attr-defined]
    assert _ask(serving) == "local"


def test_ending_pod_takes_the_tap_down_and_tells_the_laptop(serving: PodNamespace) -> None:
    """SIGTERM, as a deleted pod gets it, ends the session in order."""
    key = SigningKey.generate()
    agent = serving.agent(key)
    laptop = serving.laptop(key, STEAL, {8080: 3000})
    agent.send_signal(signal.SIGTERM)
    assert agent.wait(20) == 0
    assert laptop.wait(20) == 0
    last = laptop.log.read_text().splitlines()[-1]  # type: ignore[attr-defined]
    assert json.loads(last) == {"type": "ended", "reason": "the pod is ending"}
    assert _ask(serving) == "pod"


def test_filter_that_no_mesh_can_answer_is_refused_before_the_tap(pod: PodNamespace) -> None:
    """What the laptop could not check is refused by the agent with the same words, and nothing was tapped."""
    key = SigningKey.generate()
    agent = pod.agent(key)
    with pytest.raises(AssertionError, match="filter"):
        pod.laptop(key, shadow(Mode.STEAL, "path=/a nonsense=1"), {8080: 3000})
    assert agent.wait(10) == 2
    assert "kdev" not in pod.run("nft", "list", "ruleset")


def test_first_request_of_a_connection_can_be_the_one_that_closes_it(serving: PodNamespace) -> None:
    """A session that ends while a client holds an idle connection leaves that connection usable once more."""
    key = SigningKey.generate()
    agent = serving.agent(key)
    laptop = serving.laptop(key, STEAL, {8080: 3000})
    client = subprocess.Popen(
        serving.inside(sys.executable, "-c", _HOLDING, user=SIDECAR_UID),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert client.stdin is not None
    assert client.stdout is not None
    try:
        assert client.stdout.readline().strip() == "local"
        laptop.send_signal(signal.SIGTERM)
        assert laptop.wait(20) == 0
        client.stdin.write("again\n")
        client.stdin.flush()
        assert client.stdout.readline().strip() == "pod close"
        assert client.wait(10) == 0
        assert agent.wait(10) == 0
    finally:
        client.kill()
        client.communicate()


_GARBAGE = """
import socket
stranger = socket.create_connection(("127.0.0.1", 15990))
stranger.sendall(b"GET / HTTP/1.1\\r\\n\\r\\n" * 99)
print(stranger.recv(99))
"""
_HOLDING = f"""
import http.client
connection = http.client.HTTPConnection("{POD_IP}", 8080)
connection.request("GET", "/")
print(connection.getresponse().read().decode().rstrip("."), flush=True)
input()
connection.request("GET", "/")
response = connection.getresponse()
print(response.read().decode().rstrip("."), response.getheader("connection"), flush=True)
"""
