"""Attaching to and detaching from connections in use: no request of the sidecar's fails."""

import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from nacl.signing import SigningKey

from kdev.tunnel.messages import Mode
from tests.pod_namespace import POD_IP, SIDECAR_UID, PodNamespace, await_in, shadow

pytestmark = pytest.mark.root

URL = f"http://{POD_IP}:8080/api/x"
WRK = ("wrk", "-t1", "-c16", "-d5s", URL)
H2LOAD = ("h2load", "-c16", "-m4", "-D5", URL)


@pytest.mark.parametrize("mode", list(Mode))
def test_no_request_of_a_busy_http1_pool_fails(pod: PodNamespace, mode: Mode) -> None:
    """16 busy connections are moved to the agent and handed back while wrk counts not one error."""
    pod.nginx(POD_IP, 8080, body="pod")
    pod.nginx("127.0.0.1", 3000, body="local")
    said, output = _session_under_load(pod, mode, WRK)
    assert _last(said, "counts")["matched"] > 0
    assert _last(said, "direct")["connections"] == 0
    assert "Socket errors" not in output
    assert "Non-2xx" not in output


@pytest.mark.parametrize("mode", list(Mode))
def test_no_stream_of_busy_http2_connections_fails(pod: PodNamespace, mode: Mode) -> None:
    """16 busy HTTP/2 connections are asked to go away; every stream that began is answered."""
    pod.nginx(POD_IP, 8080, body="pod", http2=True)
    pod.nginx("127.0.0.1", 3000, body="local", http2=True)
    said, output = _session_under_load(pod, mode, H2LOAD)
    assert _last(said, "direct")["connections"] == 0
    counted = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    assert counted is not None
    assert int(counted[1]) > 0
    assert counted.groups()[1:] == ("0", "0", "0")


def _session_under_load(pod: PodNamespace, mode: Mode, load: tuple[str, ...]) -> tuple[list[dict[str, int]], str]:
    """Begin and end a session while a load runs; what the agent said, and what the load generator printed."""
    key = SigningKey.generate()
    agent = pod.agent(key)
    loading = subprocess.Popen(pod.inside(*load, user=SIDECAR_UID), stdout=subprocess.PIPE, text=True)
    pod.await_connection(POD_IP, 8080)
    laptop = pod.laptop(key, shadow(mode, "path=/api/*"), {8080: 3000})
    log: Path = laptop.log  # type: ignore[attr-defined]  # set by whoever started it
    await_in(log, b'"direct","connections":0')
    laptop.send_signal(signal.SIGTERM)
    output = loading.communicate(timeout=30)[0]
    assert laptop.wait(30) == 0
    assert agent.wait(30) == 0
    return [json.loads(line[line.index("{") :]) for line in log.read_text().splitlines()], output


def _last(said: list[dict[str, int]], kind: str) -> dict[str, int]:
    return [message for message in said if message["type"] == kind][-1]
