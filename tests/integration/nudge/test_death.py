"""The agent dies while it moves connections: nothing is corrupted, nothing hangs, nothing else is touched."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.integration.netlink.namespaces import Namespace
from tests.integration.nudge.conftest import POD4, POD6, PORT

pytestmark = pytest.mark.root

NUDGING = f"""
import asyncio, sys
from ipaddress import ip_address
from kdev.agent.nudge import Nudge
from kdev.mesh_adapters.interface import Hop
def count(direct): print(direct, flush=True)
async def main():
    nudge = Nudge([Hop(local=True, source=ip_address(sys.argv[1]))], [{PORT}], count)
    await nudge.run()
    sys.exit(nudge.hindrance)
asyncio.run(main())
"""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
DATED_HEAD = HEAD.replace(b"\r\ncontent", b"\r\ndate: Sat, 21 Nov 2026 01:05:14 GMT\r\ncontent")


@contextmanager
def connection(pod: Namespace, host: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The sidecar's and the application's end of a connection."""
    family, source = (socket.AF_INET6, "::6") if ":" in host else (socket.AF_INET, "127.0.0.6")
    with pod.call(lambda: socket.create_server((host, PORT), family=family)) as listener:
        client = pod.call(lambda: socket.create_connection((host, PORT), timeout=10, source_address=(source, 0)))
        with client, listener.accept()[0] as app:
            app.settimeout(10)
            yield client, app


@contextmanager
def nudging(pod: Namespace, host: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that has found one direct connection and watches it."""
    source = "::6" if ":" in host else "127.0.0.6"
    command = [*pod.entering(), sys.executable, "-c", NUDGING, source]
    with subprocess.Popen(command, pass_fds=[pod.descriptor], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "1\n"
            while "elements = {" not in pod.run("nft", "list", "ruleset"):
                assert process.poll() is None
            yield process
        finally:
            process.kill()


def exchange(client: socket.socket, app: socket.socket, head: bytes) -> bytes:
    """Send a request and the beginning of its response; what of it the client gets."""
    client.sendall(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n")
    app.recv(1000)
    app.sendall(head + b"first")
    received = b""
    while not received.endswith(b"first"):
        received += client.recv(1000)
    return received


@pytest.mark.parametrize("host", [POD4, POD6])
def test_an_overwritten_response_goes_on(pod: Namespace, host: str) -> None:
    """Where a header was overwritten, the rest of the response arrives without the agent, and nothing stays."""
    with connection(pod, host) as (client, app):
        with nudging(pod, host) as agent:
            received = exchange(client, app, DATED_HEAD)
            assert b"\r\nconnection: close " in received
            assert len(received) == len(DATED_HEAD) + 5
            agent.kill()
            agent.wait()
        app.sendall(b"second")
        assert client.recv(1000) == b"second"
        client.sendall(b"third")
        assert app.recv(1000) == b"third"
    assert "kdev-nudge" not in pod.run("nft", "list", "ruleset")


@pytest.mark.parametrize("host", [POD4, POD6])
@pytest.mark.parametrize("speaker", ["app", "client"])
@pytest.mark.parametrize("seen_first", ["app", "client"])
def test_a_connection_with_inserted_bytes_is_reset_at_both_ends(
    pod: Namespace, host: str, speaker: str, seen_first: str
) -> None:
    """Whoever speaks first after the agent's death, no end takes bytes for whole that lack some.

    Conntrack takes the side whose packet it sees first for the connection's originator.
    """
    with connection(pod, host) as (client, app):
        with nudging(pod, host) as agent:
            if seen_first == "app":
                app.sendall(b"early")
                assert client.recv(1000) == b"early"
            assert b"connection: close\r\n\r\nfirst" in exchange(client, app, HEAD)
            app.sendall(b"second")
            assert client.recv(1000) == b"second"
            agent.kill()
            agent.wait()
        (app if speaker == "app" else client).sendall(b"third")
        for end in (client, app):
            with pytest.raises(ConnectionResetError):
                end.recv(1000)
    assert "kdev-guard" in pod.run("nft", "list", "ruleset")
    assert "kdev-nudge" not in pod.run("nft", "list", "ruleset")


def test_the_guard_leaves_other_connections_alone(pod: Namespace) -> None:
    """With a guard that a dead agent left, connections on the same ports work, and the next agent replaces it."""
    with connection(pod, POD4) as (client, app), nudging(pod, POD4) as agent:
        exchange(client, app, HEAD)
        agent.kill()
    with connection(pod, POD4) as (client, app):
        assert exchange(client, app, HEAD) == HEAD + b"first"
        with nudging(pod, POD4) as agent:
            assert pod.run("nft", "list", "ruleset").count("chain output") == 4
            assert b"connection: close\r\n\r\nfirst" in exchange(client, app, HEAD)
            client.close()
            app.close()
            assert agent.wait(10) == 0
    assert pod.run("nft", "list", "ruleset") == ""
