"""Reading /proc/net/tcp and /proc/net/tcp6."""

import sys
from ipaddress import ip_address

import pytest

from kdev.mesh_adapters.interface import Listener
from kdev.mesh_adapters.proc_net import parse_listeners

TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:3A9E 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1337        0 81 1 0000 100 0 0 10 0
   1: 0100007F:3A98 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 82 1 0000 100 0 0 10 0
   2: 0100007F:3A98 0100007F:9C40 01 00000000:00000000 00:00000000 00000000  1337        0 83 1 0000 20 4 30 10 -1
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx rx tr tm uid timeout inode
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1000660001 0 84 1
   1: 000000FD000000000000000007000000:0050 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 85 1
"""


@pytest.mark.skipif(sys.byteorder == "big", reason="the samples were written by a little-endian kernel")
def test_listening_sockets_are_read() -> None:
    """Address, port and user of both families; established connections are passed over."""
    assert parse_listeners(TCP, TCP6) == {
        Listener(ip_address("0.0.0.0"), 15006, 1337),
        Listener(ip_address("127.0.0.1"), 15000, 0),
        Listener(ip_address("::1"), 8080, 1000660001),
        Listener(ip_address("fd00::7"), 80, 0),
    }


def test_an_ipv4_address_on_a_socket_for_both_families_is_one() -> None:
    """A gRPC or Java server bound to 127.0.0.1 listens there, although its socket is in the table of IPv6."""
    line = "   0: 0000000000000000FFFF00000100007F:2382 00000000000000000000000000000000:0000 0A 0:0 0:0 0 1000 0 1"
    assert parse_listeners(f"header\n{line}") == {Listener(ip_address("127.0.0.1"), 9090, 1000)}


def test_an_empty_table_has_no_listeners() -> None:
    """A namespace without sockets, or without IPv6."""
    assert parse_listeners(TCP.splitlines()[0], "") == frozenset()


def test_another_format_is_an_error() -> None:
    """A kernel that writes something else is not misread."""
    with pytest.raises(ValueError, match="not a line of"):
        parse_listeners("header\nnonsense")
