"""How the nudge ends: what it has begun goes on to its end, and what it cannot do harms nobody."""

import pytest

from kdev.agent.nudge_rules import QUEUE_NUMBER
from kdev.netlink.nfqueue import Queue
from tests.integration.netlink.namespaces import Namespace
from tests.integration.nudge.conftest import POD4
from tests.integration.nudge.ends import DATED_HEAD, HEAD, connection, exchange, nudging

pytestmark = pytest.mark.root


def test_a_translated_connection_is_served_to_its_end(pod: Namespace) -> None:
    """After ``stop`` the nudge goes on for a connection with inserted bytes, and takes the guard away with itself."""
    with connection(pod, POD4) as (client, app), nudging(pod, POD4) as agent:
        exchange(client, app, HEAD)
        agent.terminate()
        for text in (b"second", b"third"):
            app.sendall(text)
            assert client.recv(1000) == text
        client.sendall(b"fourth")
        assert app.recv(1000) == b"fourth"
        assert "kdev-guard" in pod.run("nft", "list", "ruleset")
        client.close()
        app.close()
        assert agent.wait(10) == 0
        assert pod.run("nft", "list", "ruleset") == ""


def test_an_unmoved_connection_is_left_as_it_is(pod: Namespace) -> None:
    """``stop`` ends the nudge at once where nothing needs translation, and the connection lives on."""
    with connection(pod, POD4) as (client, app):
        with nudging(pod, POD4) as agent:
            agent.terminate()
            assert agent.wait(10) == 0
        assert exchange(client, app, DATED_HEAD) == DATED_HEAD + b"first"


def test_without_a_queue_connections_are_only_counted(pod: Namespace) -> None:
    """Where somebody else holds the queue the connection works, its end is noticed, and the reason is told."""
    with (
        Queue(QUEUE_NUMBER, namespace=pod.descriptor),
        connection(pod, POD4) as (client, app),
        nudging(pod, POD4, hindered=True) as agent,
    ):
        assert exchange(client, app, DATED_HEAD) == DATED_HEAD + b"first"
        client.close()
        app.close()
        assert agent.wait(10) == 1
        assert agent.stdout is not None
        assert agent.stdout.read() == "0\n"
        assert pod.run("nft", "list", "ruleset") == ""
