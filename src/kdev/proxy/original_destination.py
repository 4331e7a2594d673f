"""Where a redirected connection was going: the application's own address."""

import asyncio
import errno
import socket
import struct
import sys
from collections.abc import Callable

Address = tuple[str, int]
"""An IP address and a port."""

OriginalDestination = Callable[[asyncio.Transport], Address]
"""Asked once for each accepted connection; raises OSError where the kernel does not know."""

# linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h; the socket module has neither.
_SO_ORIGINAL_DST = 80
_SOCKADDR_IN = struct.Struct("!2xH4s8x")
_SOCKADDR_IN6 = struct.Struct("!2xH4x16s4x")


def original_destination(transport: asyncio.Transport) -> Address:
    """Ask conntrack where an accepted connection was going before a REDIRECT rule led it here.

    Raises:
        OSError: The connection was not redirected.
    """
    sock = transport.get_extra_info("socket")
    address = _asked_of_conntrack(sock)
    if address == sock.getsockname()[:2]:
        # Conntrack knows this connection, but no rule led it here: whoever dials its address dials us, without end.
        raise OSError(errno.ENOENT, "the connection was made to this very socket")
    return address


def _asked_of_conntrack(sock: socket.socket) -> Address:
    if sys.platform == "linux" and sock.family == socket.AF_INET6:
        raw = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, _SOCKADDR_IN6.size)
        port, address = _SOCKADDR_IN6.unpack(raw)
        return socket.inet_ntop(socket.AF_INET6, address), port
    raw = sock.getsockopt(socket.IPPROTO_IP, _SO_ORIGINAL_DST, _SOCKADDR_IN.size)
    port, address = _SOCKADDR_IN.unpack(raw)
    return socket.inet_ntop(socket.AF_INET, address), port
