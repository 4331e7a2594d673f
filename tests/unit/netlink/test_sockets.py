"""Requests and dumps against a kernel that is played by the other end of a socket pair."""

import errno
import os
import socket
import struct
from collections.abc import Iterator

import pytest

from kdev.netlink.attributes import attribute, decode_messages, encode_message
from kdev.netlink.sockets import (
    ACK,
    ACK_ATTRIBUTES,
    CAPPED,
    DUMP_ATTEMPTS,
    DUMP_INTERRUPTED,
    MULTI,
    Family,
    NetlinkError,
    NetlinkSocket,
    Request,
)

ERROR, DONE, LINK = 2, 3, 16
ASK = Request(LINK, 0, b"body", "list links")


@pytest.fixture
def kernel() -> Iterator[tuple[NetlinkSocket, socket.socket]]:
    """A netlink socket whose kernel is the test; answers are sent before they are asked for."""
    netlink = NetlinkSocket(Family.ROUTE)
    netlink.socket.close()
    netlink.socket, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    netlink.socket.settimeout(5)
    with netlink, end:
        yield netlink, end


def error(sequence: int, code: int, words: str = "") -> bytes:
    """An ERROR message; code 0 is an acknowledgement."""
    body = struct.pack("=i", -code) + bytes(16)
    flags = CAPPED | (ACK_ATTRIBUTES if words else 0)
    return encode_message(ERROR, flags, sequence, body + (attribute(1, words.encode() + b"\0") if words else b""))


def test_a_request_awaits_its_own_acknowledgement(kernel: tuple[NetlinkSocket, socket.socket]) -> None:
    """Answers to earlier requests are passed over."""
    netlink, end = kernel
    end.send(error(77, errno.EPERM))
    end.send(error(1, 0))
    netlink.request(ASK)
    (sent,) = decode_messages(end.recv(1000))
    assert (sent.kind, sent.flags & ACK, sent.sequence, sent.body) == (LINK, ACK, 1, b"body")


def test_a_refusal_has_the_kernel_s_words(kernel: tuple[NetlinkSocket, socket.socket]) -> None:
    """The error tells what was asked, the errno's meaning and the extended message."""
    netlink, end = kernel
    end.send(error(1, errno.EINVAL, "Nexthop has invalid gateway"))
    with pytest.raises(NetlinkError) as refused:
        netlink.request(ASK)
    assert refused.value.errno == errno.EINVAL
    assert refused.value.strerror == "list links: Invalid argument (Nexthop has invalid gateway)"


def test_a_transaction_names_the_refused_request(kernel: tuple[NetlinkSocket, socket.socket]) -> None:
    """Its sequence number tells which of them it was, and only the last one asks for an acknowledgement."""
    netlink, end = kernel
    second = Request(LINK, 0, b"", "add chain")
    end.send(error(2, errno.ENOENT))
    with pytest.raises(NetlinkError, match="add chain: No such file"):
        netlink.transaction((ASK, second, ASK), ending=ASK)
    assert [bool(m.flags & ACK) for m in decode_messages(end.recv(1000))] == [False, False, True, False]


def test_a_dump_collects_until_done(kernel: tuple[NetlinkSocket, socket.socket]) -> None:
    """Entries of several datagrams are one list; DONE ends it."""
    netlink, end = kernel
    end.send(encode_message(LINK, MULTI, 1, b"aaaa") + encode_message(LINK, MULTI, 1, b"bbbb"))
    end.send(encode_message(LINK, MULTI, 1, b"cccc") + encode_message(DONE, MULTI, 1, bytes(4)))
    assert [m.body for m in netlink.dump(ASK)] == [b"aaaa", b"bbbb", b"cccc"]


def test_an_interrupted_dump_is_begun_anew(kernel: tuple[NetlinkSocket, socket.socket]) -> None:
    """What was listed while it changed is thrown away."""
    netlink, end = kernel
    end.send(encode_message(LINK, MULTI | DUMP_INTERRUPTED, 1, b"old!") + encode_message(DONE, MULTI, 1, bytes(4)))
    end.send(encode_message(LINK, MULTI, 2, b"new!") + encode_message(DONE, MULTI, 2, bytes(4)))
    assert [m.body for m in netlink.dump(ASK)] == [b"new!"]


def test_a_dump_that_never_keeps_still_ends(kernel: tuple[NetlinkSocket, socket.socket]) -> None:
    """After several attempts the caller learns why."""
    netlink, end = kernel
    for sequence in range(1, DUMP_ATTEMPTS + 1):
        end.send(encode_message(DONE, MULTI | DUMP_INTERRUPTED, sequence, bytes(4)))
    with pytest.raises(NetlinkError, match="changed during each") as refused:
        netlink.dump(ASK)
    assert refused.value.errno == errno.EINTR


@pytest.mark.parametrize("kind", [ERROR, DONE])
def test_a_dump_s_failure_is_told(kernel: tuple[NetlinkSocket, socket.socket], kind: int) -> None:
    """Whether at its begin or at its end."""
    netlink, end = kernel
    end.send(encode_message(kind, 0, 1, struct.pack("=i", -errno.EPERM) + bytes(16)))
    with pytest.raises(NetlinkError, match="list links: Operation not permitted"):
        netlink.dump(ASK)


def test_an_unanswered_request_ends(kernel: tuple[NetlinkSocket, socket.socket]) -> None:
    """Silence is bounded in time."""
    netlink, _ = kernel
    netlink.socket.settimeout(0.01)
    with pytest.raises(TimeoutError):
        netlink.request(ASK)


def test_only_a_network_namespace_can_be_entered() -> None:
    """A descriptor of something else is refused before any socket is made."""
    with open(os.devnull) as wrong, pytest.raises(OSError, match="enter network namespace"):  # noqa: PTH123 - any descriptor will do
        NetlinkSocket(Family.ROUTE, namespace=wrong.fileno())
