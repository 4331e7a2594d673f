"""A pod without a mesh: its callers' connections come from outside and can only be asked by overwriting."""

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface

import pytest

from kdev.netlink.routes import Routes
from tests.integration.netlink.namespaces import Namespace, new_namespace
from tests.integration.nudge.conftest import POD4, POD6
from tests.integration.nudge.ends import DATED_HEAD, HEAD, connection, exchange, nudging

pytestmark = pytest.mark.root


@pytest.fixture
def caller(pod: Namespace) -> Iterator[Namespace]:
    """A namespace next to the pod."""
    with new_namespace() as made:
        with Routes(namespace=made.descriptor) as routes, Routes(namespace=pod.descriptor) as pods:
            routes.add_veth("eth0", peer="v1", peer_namespace=pod.descriptor)
            routes.set_up("eth0")
            routes.add_address("eth0", IPv4Interface("10.1.2.9/24"))
            routes.add_address("eth0", IPv6Interface("fd00:1::9/64"))
            pods.set_master("v1", "eth0")
            pods.set_up("v1")
        yield made


@pytest.mark.parametrize("host", [POD4, POD6])
def test_a_caller_is_asked_where_a_header_can_be_given_up(pod: Namespace, caller: Namespace, host: str) -> None:
    """The word travels over the network in place of a header, and the nudge ends when the caller has left."""
    with connection(pod, host, caller=caller) as (client, app), nudging(pod, host, meshed=False) as agent:
        received = exchange(client, app, DATED_HEAD)
        assert b"\r\nconnection: close " in received
        assert len(received) == len(DATED_HEAD) + 5
        client.close()
        app.close()
        assert agent.wait(10) == 0
    assert pod.run("nft", "list", "ruleset") == ""


def test_nothing_is_inserted_into_a_caller_s_connection(pod: Namespace, caller: Namespace) -> None:
    """A head without room passes as it is: the guard could not reset a connection that leaves the pod."""
    with connection(pod, POD4, caller=caller) as (client, app), nudging(pod, POD4, meshed=False):
        assert exchange(client, app, HEAD) == HEAD + b"first"
        assert "kdev-guard" not in pod.run("nft", "list", "ruleset")
