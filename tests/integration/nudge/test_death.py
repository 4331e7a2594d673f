"""The agent dies while it moves connections: nothing is corrupted, nothing hangs, nothing else is touched."""

import socket

import pytest

from tests.integration.netlink.namespaces import Namespace
from tests.integration.nudge.conftest import POD4, POD6
from tests.integration.nudge.ends import DATED_HEAD, HEAD, connection, exchange, nudging

pytestmark = pytest.mark.root


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
            assert pod.run("nft", "list", "ruleset") == ""
        app.sendall(b"second")
        assert client.recv(1000) == b"second"
        client.sendall(b"third")
        assert app.recv(1000) == b"third"


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
        with pytest.raises(ConnectionResetError):
            client.recv(1000)
        with pytest.raises(ConnectionError):
            _speak(app)
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
            assert b"connection: close\r\n\r\nfirst" in exchange(client, app, HEAD)
            assert pod.run("nft", "list", "ruleset").count("table ip kdev-guard") == 1
            client.close()
            app.close()
            assert agent.wait(10) == 0
    assert pod.run("nft", "list", "ruleset") == ""


def _speak(end: socket.socket) -> None:
    """A reset is noticed at the latest when one next speaks."""
    end.sendall(b"fourth")
    end.recv(1000)
