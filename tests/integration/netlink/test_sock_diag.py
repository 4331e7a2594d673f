"""The sockets of a namespace as sock_diag lists them."""

import os
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from kdev.netlink.routes import Routes
from kdev.netlink.sock_diag import SockDiag, State
from tests.integration.netlink.namespaces import Namespace

pytestmark = pytest.mark.root

LISTENING, ESTABLISHED = frozenset({State.LISTEN}), frozenset({State.ESTABLISHED})


@pytest.fixture
def diagnostics(namespace: Namespace) -> Iterator[SockDiag]:
    """The list of a namespace whose loopback is up."""
    with Routes(namespace=namespace.descriptor) as routes:
        routes.set_up("lo")
    with SockDiag(namespace=namespace.descriptor) as opened:
        yield opened


@pytest.mark.parametrize("listening_on", ["127.0.0.1", "::"])
def test_both_ends_of_a_connection_mirror_each_other(
    namespace: Namespace, diagnostics: SockDiag, listening_on: str
) -> None:
    """Also where an IPv6 socket serves an IPv4 client, both ends have IPv4 addresses."""
    family = socket.AF_INET6 if ":" in listening_on else socket.AF_INET
    with (
        namespace.call(
            lambda: socket.create_server((listening_on, 8080), family=family, dualstack_ipv6=":" in listening_on)
        ) as listener,
        namespace.call(lambda: socket.create_connection(("127.0.0.1", 8080))) as client,
        listener.accept()[0] as accepted,
    ):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 0x539)
        (client_end,) = diagnostics.tcp_sockets(ESTABLISHED, remote_port=8080)
        (app_end,) = diagnostics.tcp_sockets(ESTABLISHED, local_port=8080)
        assert client_end.local == app_end.remote == (ip_address("127.0.0.1").packed, client.getsockname()[1])
        assert client_end.remote == app_end.local == (ip_address("127.0.0.1").packed, 8080)
        assert client_end.inode == os.fstat(client.fileno()).st_ino
        assert app_end.inode == os.fstat(accepted.fileno()).st_ino
        assert (client_end.mark, client_end.uid) == (0x539, os.getuid())
        (listening,) = diagnostics.tcp_sockets(LISTENING)
        assert listening.local == (ip_address(listening_on).packed, 8080)
        assert len(diagnostics.tcp_sockets(ESTABLISHED | LISTENING, local_port=8080)) == 2


def test_other_ports_and_states_are_not_listed(namespace: Namespace, diagnostics: SockDiag) -> None:
    """The kernel's filter leaves out what was not asked for."""
    with namespace.call(lambda: socket.create_server(("127.0.0.1", 8080))):
        assert diagnostics.tcp_sockets(LISTENING, local_port=8081) == []
        assert diagnostics.tcp_sockets(ESTABLISHED) == []


def test_many_connections_fill_several_datagrams(namespace: Namespace, diagnostics: SockDiag) -> None:
    """A list longer than one read is whole."""

    def connect() -> list[socket.socket]:
        listener = socket.create_server(("127.0.0.1", 8080), backlog=400)
        return [listener, *(socket.create_connection(("127.0.0.1", 8080)) for _ in range(300))]

    made = namespace.call(connect)
    try:
        assert len(diagnostics.tcp_sockets(ESTABLISHED, remote_port=8080)) == 300
    finally:
        for one in made:
            one.close()
