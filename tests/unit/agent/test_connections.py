"""Which of a namespace's sockets are connections that bypass the tap."""

import os
import socket
from ipaddress import ip_address

import pytest

from kdev.agent.connections import Connection, direct_connections, living_connections, own_sockets
from kdev.mesh_adapters.interface import Hop
from kdev.netlink.sock_diag import Endpoint, State, TcpSocket

PORTS = frozenset({8080})


def at(host: str, port: int) -> Endpoint:
    """An endpoint."""
    return ip_address(host).packed, port


SIDECAR, APP, LOCAL_APP = at("127.0.0.6", 40000), at("10.1.2.3", 8080), at("127.0.0.1", 8080)
AGENT, CALLER = at("127.0.0.1", 15901), at("10.9.9.9", 40000)
REDIRECT_HOP = Hop(local=True, source=ip_address("127.0.0.6"))
OUTSIDE = Hop(local=False)


def end(
    local: Endpoint, remote: Endpoint, *, state: State = State.ESTABLISHED, uid: int = 0, inode: int = 0, mark: int = 0
) -> TcpSocket:
    """One socket."""
    return TcpSocket(state, local, remote, uid, inode, mark)


def both(client: Endpoint, app: Endpoint, *, uid: int = 0, inode: int = 0, mark: int = 0) -> list[TcpSocket]:
    """A connection within the namespace."""
    return [end(client, app, uid=uid, inode=inode, mark=mark), end(app, client)]


def test_a_mirrored_pair_is_direct() -> None:
    """Both ends are here, and the application holds one of them."""
    assert direct_connections(both(SIDECAR, APP), [REDIRECT_HOP], PORTS) == {Connection(SIDECAR, APP)}


def test_a_redirected_connection_is_not() -> None:
    """To the sidecar it looks the same, but its far end is the agent's."""
    sockets = [end(SIDECAR, APP), end(AGENT, SIDECAR), *both(at("10.1.2.3", 50000), APP)]
    assert direct_connections(sockets, [REDIRECT_HOP], PORTS) == frozenset()


@pytest.mark.parametrize(
    "sockets",
    [
        both(at("127.0.0.6", 1), at("10.1.2.3", 9090)),
        both(at("127.0.0.7", 1), APP),
        [end(SIDECAR, APP, state=State.FIN_WAIT1), end(APP, SIDECAR)],
        [end(CALLER, APP)],
    ],
    ids=["another port", "another source", "closing", "one end only"],
)
def test_other_connections_are_not_the_hop_s(sockets: list[TcpSocket]) -> None:
    """Each of its marks must fit."""
    assert direct_connections(sockets, [REDIRECT_HOP], PORTS) == frozenset()


@pytest.mark.parametrize(
    ("hop", "uid", "mark"),
    [
        (Hop(local=True, uid=2102), 2102, 0),
        (Hop(local=True, destination=ip_address("127.0.0.1"), uid=1337), 1337, 0),
        (Hop(local=True, mark=(0x539, 0xFFF)), 0, 0x1539),
    ],
)
def test_owners_and_marks_tell_the_sidecar(hop: Hop, uid: int, mark: int) -> None:
    """The agent's own connection to the application has neither."""
    sidecar, agent = at("127.0.0.1", 40000), at("127.0.0.1", 40001)
    sockets = [*both(sidecar, LOCAL_APP, uid=uid, mark=mark), *both(agent, LOCAL_APP)]
    assert direct_connections(sockets, [hop], PORTS) == {Connection(sidecar, LOCAL_APP)}


def test_where_only_the_group_differs_the_agent_knows_its_own() -> None:
    """The kernel lists no groups, so the agent's sockets are left out by their inodes."""
    hop = Hop(local=True, destination=ip_address("127.0.0.1"), gid=1337)
    sockets = [*both(at("127.0.0.1", 1), LOCAL_APP, inode=7), *both(at("127.0.0.1", 2), LOCAL_APP, inode=8)]
    own = frozenset({8})
    assert direct_connections(sockets, [hop], PORTS, own) == {Connection(at("127.0.0.1", 1), LOCAL_APP)}


def test_without_a_mesh_callers_are_elsewhere() -> None:
    """The agent's own connection has both ends here, a caller's only one."""
    sockets = [end(APP, CALLER), *both(at("10.1.2.3", 1), APP, inode=8)]
    assert direct_connections(sockets, [OUTSIDE], PORTS, frozenset({8})) == {Connection(CALLER, APP)}


def test_a_connection_lives_while_one_end_does() -> None:
    """Its ports are not free before both have closed."""
    sockets = [end(APP, SIDECAR, state=State.CLOSE_WAIT), end(CALLER, APP, state=State.LAST_ACK)]
    assert living_connections(sockets, PORTS) == {Connection(SIDECAR, APP), Connection(CALLER, APP)}


def test_own_sockets_are_this_process_s() -> None:
    """By inode, and nothing but sockets."""
    with socket.socket() as mine, open(os.devnull) as other:  # noqa: PTH123 - any file will do
        inodes = own_sockets()
        assert os.fstat(mine.fileno()).st_ino in inodes
        assert os.fstat(other.fileno()).st_ino not in inodes
