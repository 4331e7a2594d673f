"""TCP segments: read, and written anew with right lengths and checksums."""

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdev.agent.nudge_segments import Segment, checksum, is_before, parse_segment

IPV4 = (ip_address("127.0.0.6").packed, ip_address("10.1.2.3").packed)
IPV6 = (ip_address("::6").packed, ip_address("fd00::3").packed)
OPTIONS = bytes.fromhex("0101080a0000000100000002")


def packet(addresses: tuple[bytes, bytes], body: bytes, *, sequence: int = 1000, acknowledgement: int = 2000) -> bytes:
    """A segment as local sockets send it, with timestamps and without a checksum."""
    tcp = struct.pack("!HHIIBBHHH", 40000, 8080, sequence, acknowledgement, 0x80, 0x18, 512, 0, 0) + OPTIONS + body
    source, destination = addresses
    if len(source) == 4:
        return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(tcp), 1, 0x4000, 64, 6, 0) + source + destination + tcp
    return struct.pack("!IHBB", 6 << 28, len(tcp), 6, 64) + source + destination + tcp


def sums(written: bytes) -> tuple[int, int]:
    """The checksums over an IP header and over a segment; both are 0 where they are right."""
    if written[0] >> 4 == 4:
        at, addresses = 20, written[12:20]
        assert struct.unpack_from("!H", written, 2)[0] == len(written)
    else:
        at, addresses = 40, written[8:40]
        assert struct.unpack_from("!H", written, 4)[0] == len(written) - 40
    pseudo = addresses + struct.pack("!II", len(written) - at, 6)
    return checksum(written[:20]) if at == 20 else 0, checksum(pseudo + written[at:])


@pytest.mark.parametrize("addresses", [IPV4, IPV6])
def test_a_segment_is_read(addresses: tuple[bytes, bytes]) -> None:
    """Addresses, ports, numbers and body, options left out."""
    segment = parse_segment(packet(addresses, b"body"))
    assert segment is not None
    assert segment.source == (addresses[0], 40000)
    assert segment.destination == (addresses[1], 8080)
    assert (segment.sequence, segment.acknowledgement, segment.body) == (1000, 2000, b"body")


@given(
    st.sampled_from([IPV4, IPV6]),
    st.binary(max_size=100),
    st.binary(max_size=101),
    st.integers(0, 1 << 33),
    st.booleans(),
)
def test_a_rewritten_segment_is_right(
    addresses: tuple[bytes, bytes], old: bytes, new: bytes, number: int, swap: bool
) -> None:
    """Lengths and checksums fit whatever was changed, numbers wrap, and all else is as it was."""
    segment = parse_segment(packet(addresses, old))
    assert segment is not None
    written = segment.rewritten(sequence=number, body=new) if swap else segment.rewritten(acknowledgement=number)
    again = parse_segment(written)
    assert again is not None
    assert sums(written) == (0, 0)
    assert again.body == (new if swap else old)
    assert (again.sequence, again.acknowledgement) == ((number % 2**32, 2000) if swap else (1000, number % 2**32))
    assert OPTIONS in written


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_passed_over(data: bytes) -> None:
    """What is no TCP segment is None and never an error."""
    assert isinstance(parse_segment(data), Segment | None)
    assert isinstance(parse_segment(bytes([0x45]) + data[1:9] + b"\x06" + data[10:]), Segment | None)


def test_other_protocols_are_passed_over() -> None:
    """UDP and truncated headers are nobody's segments."""
    whole = packet(IPV4, b"")
    assert parse_segment(whole[:9] + b"\x11" + whole[10:]) is None
    assert parse_segment(whole[:39]) is None
    assert parse_segment(packet(IPV6, b"")[:59]) is None


@given(st.binary(max_size=40))
def test_a_checksum_makes_the_sum_zero(data: bytes) -> None:
    """RFC 1071: the sum over data and its checksum is minus zero."""
    padded = data + bytes(len(data) % 2)
    assert checksum(padded + checksum(padded).to_bytes(2, "big")) == 0


@pytest.mark.parametrize(
    ("first", "second", "before"),
    [(1, 2, True), (2, 1, False), (1, 1, False), (2**32 - 1, 0, True), (0, 2**32 - 1, False)],
)
def test_sequence_numbers_are_compared_around_their_end(first: int, second: int, before: bool) -> None:
    """The space of numbers is a circle."""
    assert is_before(first, second) == before
