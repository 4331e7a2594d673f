"""TCP segments as nfqueue hands them over: read, and written anew with other numbers or other bytes.

IPv4 (RFC 791) and IPv6 without extension headers (RFC 8200), which is all that local sockets send.
"""

import struct
from dataclasses import dataclass

from kdev.agent.connections import Connection
from kdev.netlink.sock_diag import Endpoint

_TCP = 6
_IPV6_HEADER = 40
_TCP_HEADER = 20

SEQUENCE_SPACE = 1 << 32
LONGEST = 65_500
"""Bytes of an IP packet that may still grow by a few: IPv4's limit is 65,535 and nfqueue's copy ends at 65,531."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One TCP segment; ``sequence`` is that of the first byte of ``body``."""

    packet: bytes
    transport: int
    source: Endpoint
    destination: Endpoint
    sequence: int
    acknowledgement: int
    body: bytes

    def between(self) -> tuple[Connection, Connection]:
        """The connection it belongs to if the client sent it, and if the application did."""
        return Connection(self.source, self.destination), Connection(self.destination, self.source)

    def rewritten(
        self, *, sequence: int | None = None, acknowledgement: int | None = None, body: bytes | None = None
    ) -> bytes:
        """The packet with other numbers or bytes, its lengths and checksums mended."""
        new_body = self.body if body is None else body
        header = bytearray(self.packet[: self.transport])
        tcp = bytearray(self.packet[self.transport : len(self.packet) - len(self.body)])
        struct.pack_into(
            "!II",
            tcp,
            4,
            self.sequence if sequence is None else sequence % SEQUENCE_SPACE,
            self.acknowledgement if acknowledgement is None else acknowledgement % SEQUENCE_SPACE,
        )
        _write_lengths(header, len(tcp) + len(new_body))
        tcp[16:18] = bytes(2)
        pseudo = self.source[0] + self.destination[0] + struct.pack("!II", len(tcp) + len(new_body), _TCP)
        struct.pack_into("!H", tcp, 16, checksum(pseudo + tcp + new_body))
        return bytes(header) + tcp + new_body


def parse_segment(packet: bytes) -> Segment | None:
    """The segment in an IP packet, or None for anything that is not a whole TCP header behind a plain IP header."""
    found = _transport(packet)
    if found is None:
        return None
    transport, source, destination = found
    if len(packet) < transport + _TCP_HEADER:
        return None
    source_port, destination_port, sequence, acknowledgement = struct.unpack_from("!HHII", packet, transport)
    body = transport + (packet[transport + 12] >> 4) * 4
    if not transport + _TCP_HEADER <= body <= len(packet):
        return None
    return Segment(
        packet,
        transport,
        (source, source_port),
        (destination, destination_port),
        sequence,
        acknowledgement,
        packet[body:],
    )


def is_before(first: int, second: int) -> bool:
    """Whether one sequence number comes before another, both modulo 2^32 (RFC 9293, section 3.4)."""
    return (first - second) % SEQUENCE_SPACE > SEQUENCE_SPACE // 2


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071): the ones' complement sum of 16-bit words, which is the remainder by 65,535."""
    number = int.from_bytes(data + bytes(len(data) % 2), "big")
    # A sum of zero arises of nothing but zeros; every other multiple of 65,535 is ones' complement's minus zero.
    return 0xFFFF - (number % 0xFFFF or (0xFFFF if number else 0))


def _transport(packet: bytes) -> tuple[int, bytes, bytes] | None:
    """Where TCP begins, and the two addresses."""
    if len(packet) < _TCP_HEADER:
        return None
    if packet[0] >> 4 == 4 and packet[9] == _TCP:
        return (packet[0] & 15) * 4, packet[12:16], packet[16:20]
    if packet[0] >> 4 == 6 and len(packet) > _IPV6_HEADER and packet[6] == _TCP:
        return _IPV6_HEADER, packet[8:24], packet[24:40]
    return None


def _write_lengths(header: bytearray, behind: int) -> None:
    """Say how many bytes follow the IP header, in place."""
    if header[0] >> 4 == 4:
        struct.pack_into("!H", header, 2, len(header) + behind)
        header[10:12] = bytes(2)
        struct.pack_into("!H", header, 10, checksum(bytes(header)))
    else:
        struct.pack_into("!H", header, 4, behind)
