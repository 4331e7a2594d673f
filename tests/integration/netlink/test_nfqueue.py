"""Packets that pass a queue of this process, on a namespace's loopback."""

import errno
import select
import socket
from collections.abc import Iterator

import pytest

from kdev.netlink import nf_tables as nft
from kdev.netlink.expressions import counter, mark, queue_by_xtables, udp_dport
from kdev.netlink.nf_tables import Base, Chain, ChainType, Hook, NfTables, Table, TableFamily
from kdev.netlink.nfqueue import Queue, QueuedPacket
from kdev.netlink.routes import Routes
from kdev.netlink.sockets import NetlinkError
from tests.integration.netlink.namespaces import Namespace

pytestmark = pytest.mark.root

PORT, NUMBER = 5353, 9
TABLE = Table(TableFamily.IP, "test")
OUTPUT = Chain(TABLE, "out", Base(ChainType.FILTER, Hook.OUTPUT, -290))
BEHIND = Chain(TABLE, "behind", Base(ChainType.FILTER, Hook.OUTPUT, 0))
IP_AND_UDP_HEADERS = 28


@pytest.fixture
def udp(namespace: Namespace) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A sender and a receiver between whom every datagram is queued."""
    with (
        Routes(namespace=namespace.descriptor) as routes,
        NfTables(namespace=namespace.descriptor) as tables,
        namespace.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sender,
        namespace.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as receiver,
    ):
        routes.set_up("lo")
        tables.commit(
            nft.add_table(TABLE, owner=True),
            nft.add_chain(OUTPUT),
            nft.add_chain(BEHIND),
            nft.add_rule(OUTPUT, udp_dport(PORT), queue_by_xtables(NUMBER)),
            nft.add_rule(BEHIND, mark(0x77), counter()),
        )
        receiver.bind(("127.0.0.1", PORT))
        receiver.settimeout(5)
        sender.connect(("127.0.0.1", PORT))
        yield sender, receiver


def next_packet(queue: Queue) -> QueuedPacket:
    """The one packet that waits."""
    assert select.select([queue], [], [], 5)[0]
    (packet,) = queue.receive()
    return packet


def test_packets_are_accepted_replaced_marked_and_dropped(
    namespace: Namespace, udp: tuple[socket.socket, socket.socket]
) -> None:
    """Each verdict does to its packet what it says."""
    sender, receiver = udp
    with Queue(NUMBER, namespace=namespace.descriptor) as queue:
        assert queue.receive() == []
        for text in (b"kept", b"dropped", b"changed"):
            sender.send(text)
            packet = next_packet(queue)
            assert packet.payload[IP_AND_UDP_HEADERS:] == text
            if text == b"kept":
                queue.accept(packet.number, mark=0x77)
            elif text == b"dropped":
                queue.drop(packet.number)
            else:
                # A UDP checksum of zero means none (RFC 768).
                headers = packet.payload[: IP_AND_UDP_HEADERS - 2] + bytes(2)
                queue.accept(packet.number, payload=headers + b"CHANGED")
        assert receiver.recv(100) == b"kept"
        assert receiver.recv(100) == b"CHANGED"
    assert "meta mark 0x00000077 counter packets 1" in namespace.run("nft", "list", "ruleset")


def test_only_the_asked_bytes_are_copied(namespace: Namespace, udp: tuple[socket.socket, socket.socket]) -> None:
    """A queue that reads headers alone sees no more, and an accepted packet arrives whole."""
    sender, receiver = udp
    with Queue(NUMBER, copy=IP_AND_UDP_HEADERS, namespace=namespace.descriptor) as queue:
        sender.send(b"whole")
        packet = next_packet(queue)
        assert len(packet.payload) == IP_AND_UDP_HEADERS
        queue.accept(packet.number)
    assert receiver.recv(100) == b"whole"


def test_without_a_listener_packets_pass(namespace: Namespace, udp: tuple[socket.socket, socket.socket]) -> None:
    """Before a queue is bound and after it is closed the rule is as if it were not there."""
    sender, receiver = udp
    sender.send(b"before")
    Queue(NUMBER, namespace=namespace.descriptor).close()
    sender.send(b"after")
    assert [receiver.recv(100), receiver.recv(100)] == [b"before", b"after"]


def test_a_full_queue_fails_open_when_asked_to(namespace: Namespace, udp: tuple[socket.socket, socket.socket]) -> None:
    """Packets that find no room pass instead of being dropped."""
    sender, receiver = udp
    with Queue(NUMBER, length=1, fail_open=True, namespace=namespace.descriptor):
        sender.send(b"waits")
        sender.send(b"passes")
        assert receiver.recv(100) == b"passes"


def test_a_queue_has_one_listener(namespace: Namespace) -> None:
    """The second one to bind a number is refused."""
    with Queue(NUMBER, namespace=namespace.descriptor):
        with pytest.raises(NetlinkError, match="bind nfqueue 9") as refused:
            Queue(NUMBER, namespace=namespace.descriptor)
        assert refused.value.errno in {errno.EBUSY, errno.EPERM}
