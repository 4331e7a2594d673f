"""``kdev shadow`` through real Envoy sidecars in STRICT mTLS, in a sandbox of its own."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.integration.sandbox.conftest import Sandbox, named

pytestmark = pytest.mark.root

WITHIN = 60.0
"""Seconds after which a session hangs; on a quiet machine it is ready in one."""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running sandbox that sessions may leave ended containers in."""
    own = named("shadowed", tmp_path_factory.mktemp("shadowed"))
    try:
        started = own.command("up")
        assert started.returncode == 0, started.stderr
        yield own
    finally:
        assert own.command("down").returncode == 0


class LocalProcess(ThreadingHTTPServer):
    """The developer's process: keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.paths: list[str] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that breaks with its agent is expected here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: LocalProcess

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.send_response(200)
        self.send_header("content-length", "5")
        self.end_headers()
        self.wfile.write(b"local")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Nothing is printed."""


@pytest.fixture
def local() -> Iterator[LocalProcess]:
    """A running one."""
    with LocalProcess() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Shadowing:
    """A running ``kdev shadow``, read line by line as JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []

    def until(self, kind: str) -> dict[str, Any]:
        """The next piece of news of this kind."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            assert line.startswith("{"), line + self.process.stderr.read()
            self.seen.append(item := json.loads(line))
            if item["type"] == kind:
                return item
        raise AssertionError(f"no {kind} among {self.seen}")


@contextmanager
def shadowing(sandbox: Sandbox, *arguments: str) -> Iterator[Shadowing]:
    """``kdev shadow ARGUMENTS``, ready; interrupted in the end."""
    environment = {**sandbox.environment, "KUBECONFIG": sandbox.status()["kubeconfig"]}
    process = subprocess.Popen(
        [sys.executable, "-m", "kdev.cli", "shadow", *arguments, "-n", "staging", "--progress", "json"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    hung = threading.Timer(WITHIN, process.kill)
    hung.start()
    try:
        running = Shadowing(process)
        running.until("ready")
        yield running
        process.send_signal(signal.SIGINT)
        running.until("summary")
        assert process.wait() == 0
    finally:
        hung.cancel()
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


def test_mirror(sandbox: Sandbox, local: LocalProcess) -> None:
    """The pod answers everything; the local process gets a copy of what matches, and of no health check."""
    port = f"8080:{local.server_port}"
    with shadowing(sandbox, "deploy/checkout", "--filter", "path=/api/*", "--port", port) as running:
        for path in ("/api/cart", "/version", "/api/orders/7"):
            answer = sandbox.curl("--from", "staging", f"http://checkout{path}")
            assert answer.returncode == 0, answer.stderr
            assert answer.stdout != "local"
        for _ in range(2):
            assert running.until("request-answered")["status"] == 200
    assert local.paths == ["/api/cart", "/api/orders/7"]
    summary = running.seen[-1]
    assert (summary["counts"]["matched"], summary["counts"]["mirrored"]) == (2, 2)


def test_steal_outlives_its_agent(sandbox: Sandbox, local: LocalProcess) -> None:
    """Matched requests are answered here; when the agent is killed the pod serves, until another agent is there."""
    port = f"8080:{local.server_port}"

    def ask(*headers: str) -> str:
        answer = sandbox.curl("--from", "staging", *headers, "http://payments/api/charge")
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    with shadowing(sandbox, "deploy/payments", "--steal", "--filter", "header.x-dev=alice", "--port", port) as running:
        assert ask() != "local"
        assert ask("-H", "x-dev: alice") == "local"
        (pod,) = sandbox.pods("staging", "payments")
        (agent,) = [one["pid"] for one in pod["containers"] if one["ephemeral"] and one["pid"]]
        os.kill(agent, signal.SIGKILL)
        assert ask() != "local"
        running.until("ready")
        # The sidecar's connection from the time without a tap is given up at its next response.
        assert "local" in [ask("-H", "x-dev: alice") for _ in range(5)]
    assert any("placing another" in item.get("text", "") for item in running.seen)
