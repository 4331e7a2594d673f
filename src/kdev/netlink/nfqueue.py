"""nfqueue: packets that a rule hands to this process, and its verdicts (linux/netfilter/nfnetlink_queue.h).

A rule with ``bypass`` lets packets pass while no process has bound its queue, so the death of the process harms no
connection; packets that wait in the queue at that moment are dropped, and TCP sends them again.
"""

import socket
import struct
from dataclasses import dataclass

from kdev.netlink.attributes import (
    attribute,
    decode_attributes,
    decode_messages,
    encode_message,
    network32,
)
from kdev.netlink.sockets import REQUEST, ClosedOnExit, Family, NetlinkSocket, Request

_SUBSYSTEM = 3 << 8
_PACKET, _VERDICT, _CONFIG = 0, 1, 2
_CONFIG_COMMAND, _CONFIG_PARAMETERS, _CONFIG_MAXLEN, _CONFIG_MASK, _CONFIG_FLAGS = 1, 2, 3, 4, 5
_BIND = 1
_COPY_PACKET = 2
_FAIL_OPEN = 1
_PACKET_HEADER, _VERDICT_HEADER, _MARK, _PAYLOAD = 1, 2, 3, 10
_DROP, _ACCEPT = 0, 1

_SOL_NETLINK = 270
_NETLINK_NO_ENOBUFS = 5
_SO_RCVBUFFORCE = 33

WHOLE_PACKET = 0xFFFF
"""Copy range in bytes for everything; the kernel cuts it to 65,531, the most that an attribute holds."""

LENGTH = 8192
"""Packets that may wait for a verdict; some seconds of a busy pod's new connections."""

_RECEIVE_BUFFER = 8 << 20
"""Bytes: room for about a hundred packets of loopback's largest size, or thousands of ordinary ones."""

_RECEIVE_SIZE = 1 << 17
"""Bytes of one read: the largest packet and its other attributes; each packet comes in a datagram of its own."""


@dataclass(frozen=True, slots=True)
class QueuedPacket:
    """A packet that waits for its verdict; ``payload`` begins with the IP header."""

    number: int
    payload: bytes


class Queue(ClosedOnExit):
    """One bound queue; closing it unbinds.

    Args:
        number: The queue's, which rules name.
        copy: How many bytes of each packet to see.
        length: How many packets may wait.
        fail_open: Whether packets that find the queue full pass; otherwise they are dropped.
        namespace: Descriptor of the network namespace; None for the calling thread's own.

    Raises:
        NetlinkError: The kernel refused; EBUSY where another process has bound this queue.
    """

    def __init__(
        self,
        number: int,
        *,
        copy: int = WHOLE_PACKET,
        length: int = LENGTH,
        fail_open: bool = False,
        namespace: int | None = None,
    ) -> None:
        self._number = number
        self._netlink = NetlinkSocket(Family.NETFILTER, namespace=namespace)
        self._socket = self._netlink.socket
        try:
            self._configure(copy, length, fail_open=fail_open)
            self._socket.setblocking(False)
        except OSError:
            self._netlink.close()
            raise

    def fileno(self) -> int:
        """The descriptor to wait for; readable when packets wait."""
        return self._socket.fileno()

    def close(self) -> None:
        """Unbind; packets that wait are dropped, later ones pass by the rule's ``bypass``."""
        self._netlink.close()

    def receive(self) -> list[QueuedPacket]:
        """The packets that have come, none if there are none."""
        try:
            datagram = self._socket.recv(_RECEIVE_SIZE)
        except BlockingIOError:
            return []
        packets = []
        for message in decode_messages(datagram):
            if message.kind != _SUBSYSTEM | _PACKET:
                continue
            attributes = decode_attributes(message.body, 4)
            number = int.from_bytes(attributes[_PACKET_HEADER][:4], "big")
            packets.append(QueuedPacket(number, attributes.get(_PAYLOAD, b"")))
        return packets

    def accept(self, number: int, *, payload: bytes | None = None, mark: int | None = None) -> None:
        """Let a packet go on, with other bytes or another mark if given; checksums in ``payload`` must be right."""
        attributes = attribute(_VERDICT_HEADER, struct.pack("!II", _ACCEPT, number))
        if mark is not None:
            attributes += attribute(_MARK, network32(mark))
        if payload is not None:
            attributes += attribute(_PAYLOAD, payload)
        self._send_verdict(attributes)

    def drop(self, number: int) -> None:
        """Discard a packet."""
        self._send_verdict(attribute(_VERDICT_HEADER, struct.pack("!II", _DROP, number)))

    def _send_verdict(self, attributes: bytes) -> None:
        body = self._header() + attributes
        self._socket.send(encode_message(_SUBSYSTEM | _VERDICT, REQUEST, 0, body))

    def _configure(self, copy: int, length: int, *, fail_open: bool) -> None:
        self._request(attribute(_CONFIG_COMMAND, struct.pack("!BxH", _BIND, 0)), "bind")
        parameters = attribute(_CONFIG_PARAMETERS, struct.pack("!IB", copy, _COPY_PACKET))
        parameters += attribute(_CONFIG_MAXLEN, network32(length))
        if fail_open:
            parameters += attribute(_CONFIG_MASK, network32(_FAIL_OPEN)) + attribute(
                _CONFIG_FLAGS, network32(_FAIL_OPEN)
            )
        self._request(parameters, "set up")
        # An overrun then loses packets, which fail_open or TCP mends, and never makes reading fail.
        self._socket.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _RECEIVE_BUFFER)
        except PermissionError:  # inside a user namespace nobody may exceed net.core.rmem_max
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)

    def _request(self, attributes: bytes, verb: str) -> None:
        what = f"{verb} nfqueue {self._number}"
        self._netlink.request(Request(_SUBSYSTEM | _CONFIG, 0, self._header() + attributes, what))

    def _header(self) -> bytes:
        return struct.pack("!BBH", socket.AF_UNSPEC, 0, self._number)
