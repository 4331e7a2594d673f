"""Back-pressure and endings of transports: what every connection of the splice needs."""

import asyncio
import socket
import struct
import sys

_NO_LINGER = struct.pack("ii", 1, 0)
_LAST_DATA = struct.Struct("=44xI4xI")
"""``tcpi_last_data_sent`` and ``tcpi_last_data_recv`` of ``struct tcp_info`` (linux/tcp.h), in milliseconds."""


class Gate:
    """Stops reading from a transport while anybody has a reason to."""

    __slots__ = ("_reasons", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._reasons: set[object] = set()

    def shut(self, reason: object) -> None:
        """Read nothing until this reason, and every other one, is gone."""
        if not self._reasons and not self._transport.is_closing():
            self._transport.pause_reading()
        self._reasons.add(reason)

    def open(self, reason: object) -> None:
        """Take a reason back; one that was never given is none."""
        if reason in self._reasons:
            self._reasons.remove(reason)
            if not self._reasons and not self._transport.is_closing():
                self._transport.resume_reading()


def reset(transport: asyncio.Transport) -> None:
    """End a connection so that the peer sees a reset: never an end that looks complete."""
    sock = transport.get_extra_info("socket")
    if sock is not None and not transport.is_closing():
        # With a linger time of zero, close() sends RST instead of FIN (socket(7)).
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    transport.abort()


def silent_for(transport: asyncio.Transport) -> float:
    """Seconds since a TCP connection last carried a byte in either direction; 0 where that cannot be told.

    The kernel keeps account of it, so that no request has to look at the clock.
    """
    sock = transport.get_extra_info("socket")
    if sys.platform != "linux" or sock is None or transport.is_closing():
        return 0.0
    sent: int
    received: int
    sent, received = _LAST_DATA.unpack(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _LAST_DATA.size))
    return min(sent, received) / 1e3
