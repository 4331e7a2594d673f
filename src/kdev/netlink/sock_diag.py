"""The TCP sockets of a network namespace (sock_diag(7), include/uapi/linux/inet_diag.h).

The kernel filters by port, so that a look at one port costs the same beside a thousand other connections.
"""

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

from kdev.netlink.attributes import Message, decode_attributes
from kdev.netlink.sockets import ClosedOnExit, Family, NetlinkSocket, Request

_BY_FAMILY = 20
_ATTRIBUTE_MARK = 15
_MAPPED = bytes(10) + b"\xff\xff"

_REQUEST = struct.Struct("=BBBBI")
_PORTS = struct.Struct("!HH")
_OWNER = struct.Struct("=II")
_IDENTITY_SIZE = 48
_BODY_SIZE = 72
_SOURCE, _DESTINATION = slice(8, 24), slice(24, 40)

Endpoint = tuple[bytes, int]
"""A packed address and a port. IPv4 addresses have 4 bytes also where an IPv6 socket serves them."""


class State(IntEnum):
    """TCP's states as Linux numbers them (include/net/tcp_states.h)."""

    ESTABLISHED = 1
    SYN_SENT = 2
    SYN_RECV = 3
    FIN_WAIT1 = 4
    FIN_WAIT2 = 5
    TIME_WAIT = 6
    CLOSE = 7
    CLOSE_WAIT = 8
    LAST_ACK = 9
    LISTEN = 10
    CLOSING = 11


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """One end of a connection, or a listener.

    Attributes:
        uid: The owner; 0 for connections that no process has accepted yet.
        inode: What ``os.fstat`` of its descriptor says; 0 while it has none.
        mark: SO_MARK; 0 also where the caller may not see it (needs NET_ADMIN).
    """

    state: State
    local: Endpoint
    remote: Endpoint
    uid: int
    inode: int
    mark: int


class SockDiag(ClosedOnExit):
    """Lists the TCP sockets of one network namespace.

    Args:
        namespace: Descriptor of the namespace; None for the calling thread's own.
    """

    def __init__(self, *, namespace: int | None = None) -> None:
        self._netlink = NetlinkSocket(Family.SOCK_DIAG, namespace=namespace)

    def close(self) -> None:
        """Close the socket."""
        self._netlink.close()

    def tcp_sockets(self, states: frozenset[State], *, local_port: int = 0, remote_port: int = 0) -> list[TcpSocket]:
        """The IPv4 and IPv6 sockets in one of the states; a port of 0 stands for every port.

        Raises:
            NetlinkError: The kernel refused.
        """
        return list(self._tcp_sockets(states, local_port, remote_port))

    def _tcp_sockets(self, states: frozenset[State], local_port: int, remote_port: int) -> Iterator[TcpSocket]:
        mask = sum(1 << state for state in states)
        for family in (socket.AF_INET, socket.AF_INET6):
            body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 0, mask)
            body += _PORTS.pack(local_port, remote_port).ljust(_IDENTITY_SIZE, b"\0")
            for message in self._netlink.dump(Request(_BY_FAMILY, 0, body, "list TCP sockets")):
                yield _decode(message)


def _decode(message: Message) -> TcpSocket:
    body = message.body
    family, state = body[0], body[1]
    local_port, remote_port = _PORTS.unpack_from(body, 4)
    uid, inode = _OWNER.unpack_from(body, 64)
    mark = decode_attributes(body, _BODY_SIZE).get(_ATTRIBUTE_MARK, bytes(4))
    return TcpSocket(
        state=State(state),
        local=(_address(family, body[_SOURCE]), local_port),
        remote=(_address(family, body[_DESTINATION]), remote_port),
        uid=uid,
        inode=inode,
        mark=int(struct.unpack("=I", mark)[0]),
    )


def _address(family: int, field: bytes) -> bytes:
    if family == socket.AF_INET:
        return field[:4]
    return field[12:] if field.startswith(_MAPPED) else field
