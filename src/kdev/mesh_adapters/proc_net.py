"""Listening sockets of a network namespace, from the text of /proc/net/tcp and /proc/net/tcp6.

Their uid column needs no privilege and no view of the processes, and it tells a sidecar's real user where manifests
only tell the intended one.
"""

import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address

from kdev.mesh_adapters.interface import Address, Listener

_LISTEN = "0A"  # TCP_LISTEN, include/net/tcp_states.h


def parse_listeners(*tables: str) -> frozenset[Listener]:
    """Read the text of /proc/net/tcp, /proc/net/tcp6 or both; lines of other states are passed over.

    Raises:
        ValueError: A line is not as proc(5) says.
    """
    return frozenset(listener for table in tables for listener in _listeners(table))


def _listeners(table: str) -> Iterator[Listener]:
    for line in table.splitlines()[1:]:
        columns = line.split()  # sl local rem st tx:rx tr:tm retrnsmt uid ...
        if len(columns) < 8:
            raise ValueError(f"not a line of /proc/net/tcp: {line!r}")
        if columns[3] == _LISTEN:
            address, _, port = columns[1].partition(":")
            yield Listener(_address(address), int(port, 16), int(columns[7]))


def _address(digits: str) -> Address:
    """Read an address: 32-bit words in network order, each printed as a number of the machine's byte order.

    An IPv4 address on a socket for both families (``::ffff:127.0.0.1``, as gRPC and Java bind) is an IPv4 address.
    """
    words = (int(digits[place : place + 8], 16) for place in range(0, len(digits), 8))
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    if len(packed) == 4:
        return IPv4Address(packed)
    address = IPv6Address(packed)
    return address.ipv4_mapped or address
