"""Reading what conntrack says of a redirected connection."""

import socket
import struct
from typing import Any, cast

import pytest

from kdev.proxy.original_destination import original_destination


class _Socket:
    def __init__(self, family: int, answer: bytes) -> None:
        self.family = family
        self.asked: tuple[int, int, int] | None = None
        self._answer = answer

    def getsockopt(self, *asked: int) -> bytes:
        """Answer as the kernel does."""
        self.asked = asked  # type: ignore[assignment]  # three of them
        return self._answer

    def getsockname(self) -> tuple[Any, ...]:
        """Where the agent accepted it."""
        return ("127.0.0.1", 4999) if self.family == socket.AF_INET else ("::1", 4999, 0, 0)


class _Transport:
    def __init__(self, sock: _Socket) -> None:
        self._socket = sock

    def get_extra_info(self, name: str) -> Any:
        """Only the socket is asked for."""
        assert name == "socket"
        return self._socket


def test_an_ipv4_destination() -> None:
    """SOL_IP, option 80, a sockaddr_in."""
    sock = _Socket(socket.AF_INET, struct.pack("=H", socket.AF_INET) + b"\x1f\x90\x0a\x00\x00\x07" + bytes(8))
    assert original_destination(cast("Any", _Transport(sock))) == ("10.0.0.7", 8080)
    assert sock.asked == (0, 80, 16)


def test_an_ipv6_destination() -> None:
    """SOL_IPV6, option 80, a sockaddr_in6."""
    address = socket.inet_pton(socket.AF_INET6, "fd00::7")
    sock = _Socket(socket.AF_INET6, struct.pack("=H", socket.AF_INET6) + b"\x1f\x90" + bytes(4) + address + bytes(4))
    assert original_destination(cast("Any", _Transport(sock))) == ("fd00::7", 8080)
    assert sock.asked == (41, 80, 28)


@pytest.mark.parametrize(
    ("family", "answer"),
    [
        (socket.AF_INET, struct.pack("=H", socket.AF_INET) + b"\x13\x87\x7f\x00\x00\x01" + bytes(8)),
        (socket.AF_INET6, struct.pack("=H", socket.AF_INET6) + b"\x13\x87" + bytes(19) + b"\x01" + bytes(4)),
    ],
)
def test_a_connection_made_to_the_agent_itself(family: int, answer: bytes) -> None:
    """A connection that no rule led here has no destination, although conntrack knows it: it would lead here again."""
    with pytest.raises(OSError, match="this very socket"):
        original_destination(cast("Any", _Transport(_Socket(family, answer))))
