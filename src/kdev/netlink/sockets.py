"""A netlink socket: requests with their acknowledgements, and dumps.

The kernel handles a request inside ``send``, so the answer is there when ``send`` returns and blocking calls are
fine inside an event loop. A socket belongs for ever to the network namespace it was made in, whichever thread or
process uses it later.
"""

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import TracebackType
from typing import Self

from kdev.netlink.attributes import (
    HEADER_SIZE,
    Message,
    decode_attributes,
    decode_messages,
    decode_text,
    encode_message,
)

# AF_NETLINK, SOL_NETLINK and the constants below are absent from the socket module on other systems, where this
# module must still import.
_AF_NETLINK = 16
_SOL_NETLINK = 270
_NETLINK_CAP_ACK = 10
_NETLINK_EXT_ACK = 11
_CLONE_NEWNET = 0x40000000

_ERROR = 2
_DONE = 3

REQUEST = 0x1
MULTI = 0x2
ACK = 0x4
DUMP_INTERRUPTED = 0x10
CAPPED = 0x100
ACK_ATTRIBUTES = 0x200
EXCLUSIVE = 0x200
DUMP = 0x300
CREATE = 0x400
APPEND = 0x800

RECEIVE_SIZE = 1 << 16
"""Bytes of one read; the kernel fills the datagrams of a dump to 32 KiB at most."""

DUMP_LIMIT = 1 << 20
"""Messages of one dump: more sockets, links or routes than a node can hold; a bound against a kernel gone wrong."""

DUMP_ATTEMPTS = 10
"""How often a dump is begun anew because what it lists changed under it. Changes come in bursts of microseconds."""

ANSWER_WITHIN = 5.0
"""Seconds for an answer that is normally there at once: only a lock held in the kernel (rtnl) can delay it."""


class Family(IntEnum):
    """The netlink families used here (include/uapi/linux/netlink.h)."""

    ROUTE = 0
    SOCK_DIAG = 4
    NETFILTER = 12


@dataclass(frozen=True, slots=True)
class Request:
    """One message for the kernel; ``what`` names it in errors, as in "add table kdev"."""

    kind: int
    flags: int
    body: bytes
    what: str


class NetlinkError(OSError):
    """The kernel refused a request; carries its errno, and its own words where it gave some (extended ACK)."""

    def __init__(self, code: int, what: str, words: str = "") -> None:
        super().__init__(code, f"{what}: {os.strerror(code)}" + (f" ({words})" if words else ""))


class ClosedOnExit:
    """A context manager that is left by ``close``."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give back what is held."""
        raise NotImplementedError


class NetlinkSocket(ClosedOnExit):
    """A socket of one netlink family.

    Args:
        family: Which part of the kernel to talk to.
        namespace: Descriptor of the network namespace to talk to; None for the calling thread's own.
    """

    def __init__(self, family: Family, *, namespace: int | None = None) -> None:
        with _inside(namespace):
            self.socket = socket.socket(_AF_NETLINK, socket.SOCK_RAW, family)
        try:
            self.socket.bind((0, 0))
            self.socket.settimeout(ANSWER_WITHIN)
            self.socket.setsockopt(_SOL_NETLINK, _NETLINK_CAP_ACK, 1)
            self.socket.setsockopt(_SOL_NETLINK, _NETLINK_EXT_ACK, 1)
        except OSError:
            self.socket.close()
            raise
        self._sequence = 0

    def close(self) -> None:
        """Close the socket; what the kernel keeps in its name (owned tables, queues) goes with it."""
        self.socket.close()

    def request(self, request: Request) -> None:
        """Have one request done.

        Raises:
            NetlinkError: The kernel refused.
        """
        first = self._next_sequence(1)
        self.socket.send(encode_message(request.kind, request.flags | REQUEST | ACK, first, request.body))
        self._await_acknowledgement((request,), first)

    def transaction(self, requests: tuple[Request, ...], *, ending: Request) -> None:
        """Send the requests and their ending in one datagram, and await the last request's acknowledgement.

        Only the last one asks for it: a refused one answers anyway, and before the last.

        Raises:
            NetlinkError: The kernel refused one of them.
        """
        first = self._next_sequence(len(requests))
        last = len(requests) - 1
        datagram = b"".join(
            encode_message(r.kind, r.flags | REQUEST | (ACK if n == last else 0), first + n, r.body)
            for n, r in enumerate(requests)
        )
        datagram += encode_message(ending.kind, ending.flags | REQUEST, first, ending.body)
        self.socket.send(datagram)
        self._await_acknowledgement(requests, first)

    def dump(self, request: Request) -> list[Message]:
        """Everything that a dump request lists, as one consistent view.

        Raises:
            NetlinkError: The kernel refused, or what it lists never kept still (EINTR).
        """
        for _ in range(DUMP_ATTEMPTS):
            listed = self._dump_once(request)
            if listed is not None:
                return listed
        raise NetlinkError(errno.EINTR, request.what, "the list changed during each of several attempts")

    def _dump_once(self, request: Request) -> list[Message] | None:
        sequence = self._next_sequence(1)
        self.socket.send(encode_message(request.kind, request.flags | REQUEST | DUMP, sequence, request.body))
        listed: list[Message] = []
        interrupted = False
        while True:
            for message in self._receive():
                if message.sequence != sequence:
                    continue
                interrupted |= bool(message.flags & DUMP_INTERRUPTED)
                if message.kind == _ERROR:
                    raise _refusal(message, request)
                if message.kind == _DONE:
                    if code := _code(message):
                        raise NetlinkError(code, request.what)
                    return None if interrupted else listed
                listed.append(message)
                if len(listed) > DUMP_LIMIT:
                    raise NetlinkError(errno.EMSGSIZE, request.what, f"more than {DUMP_LIMIT} entries")

    def _await_acknowledgement(self, requests: tuple[Request, ...], first: int) -> None:
        while True:
            for message in self._receive():
                place = message.sequence - first
                # Answers to earlier requests may still be queued behind an error that ended their reading.
                if message.kind != _ERROR or not 0 <= place < len(requests):
                    continue
                if _code(message):
                    raise _refusal(message, requests[place])
                if place == len(requests) - 1:
                    return

    def _receive(self) -> list[Message]:
        try:
            return list(decode_messages(self.socket.recv(RECEIVE_SIZE)))
        except ValueError as error:
            raise NetlinkError(errno.EBADMSG, "receive", str(error)) from error

    def _next_sequence(self, count: int) -> int:
        first = self._sequence + 1
        # Zero is what the kernel writes on messages that answer nothing.
        if first + count > 0xFFFFFFFF:
            first = 1
        self._sequence = first + count - 1
        return first


def _code(message: Message) -> int:
    """The errno of an ERROR or DONE message, 0 for success."""
    return -int(struct.unpack_from("=i", message.body)[0]) if len(message.body) >= 4 else 0


def _refusal(message: Message, request: Request) -> NetlinkError:
    words = ""
    if message.flags & ACK_ATTRIBUTES:
        size = struct.unpack_from("=I", message.body, 4)[0]
        offset = 4 + (HEADER_SIZE if message.flags & CAPPED else (size + 3) & ~3)
        words = decode_text(decode_attributes(message.body, offset).get(1, b""))
    return NetlinkError(_code(message), request.what, words)


@contextmanager
def _inside(namespace: int | None) -> Iterator[None]:
    """Put the calling thread into another network namespace for a moment."""
    if namespace is None:
        yield
        return
    own = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _setns(namespace)
        try:
            yield
        finally:
            _setns(own)
    finally:
        os.close(own)


def _setns(namespace: int) -> None:
    """setns(2); os.setns came with Python 3.12."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"enter network namespace: {os.strerror(code)}")
