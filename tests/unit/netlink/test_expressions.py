"""Rules' bytes: golden ones that a kernel has read back as meant, and how parts are put together."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address

import pytest

from kdev.netlink.expressions import (
    Match,
    Part,
    Protocol,
    counter,
    destination,
    encode_parts,
    negated,
    one_in,
    out_interface,
    protocol,
    queue,
    queue_by_xtables,
    redirect,
    return_,
    source,
    syn_only,
    tcp_dport,
    tcp_sport,
)

GOLDEN: list[tuple[Part, tuple[str, ...]]] = [
    (
        out_interface("lo"),
        (
            "24000180 09000100 6d657461 00000000 14000280 08000100 00000001 08000200 00000007",
            "38000180 08000100 636d7000 2c000280 08000100 00000001 08000200 00000000",
            "18000380 14000100 6c6f0000 00000000 00000000 00000000",
        ),
    ),
    (
        redirect(15901),
        (
            "2c000180 0e000100 696d6d65 64696174 65000000 18000280 08000100 00000001 0c000280 06000100 3e1d0000",
            "1c000180 0a000100 72656469 72000000 0c000280 08000100 00000001",
        ),
    ),
    (
        queue_by_xtables(7),
        (
            "34000180 0b000100 74617267 65740000 24000280 0c000100 4e465155 45554500",
            "08000200 00000003 0c000300 07000100 01000000",
        ),
    ),
    (
        queue(7),
        ("2c000180 0a000100 71756575 65000000 1c000280 06000100 00070000 06000200 00010000 06000300 00010000",),
    ),
]


@pytest.mark.parametrize(("part", "golden"), GOLDEN)
def test_the_bytes_are_those_that_kernels_took(part: Part, golden: tuple[str, ...]) -> None:
    """Guards the encoders where no kernel can be asked."""
    assert b"".join(encode_parts((part,))).hex() == "".join(golden).replace(" ", "")


def test_what_several_parts_need_is_said_once_and_first() -> None:
    """A port and a flag both need TCP; the rule asks for it before the first of them only."""
    parts = encode_parts((tcp_dport(80), syn_only(), tcp_sport(1), counter()))
    assert parts == (
        protocol(Protocol.TCP).encoded,
        tcp_dport(80).encoded,
        syn_only().encoded,
        tcp_sport(1).encoded,
        counter().encoded,
    )


def test_a_negated_match_negates_only_itself() -> None:
    """``tcp dport != 80`` still is about TCP."""
    match = negated(tcp_dport(80))
    assert match.needs == tcp_dport(80).needs
    assert match.encoded != tcp_dport(80).encoded
    assert negated(match) == tcp_dport(80)


@pytest.mark.parametrize(
    ("match", "value"),
    [
        (source(IPv4Address("127.0.0.6")), "7f000006"),
        (destination(IPv6Address("::6")), "00" * 15 + "06"),
        (source(IPv4Network("10.0.0.0/8")), "0a000000"),
    ],
)
def test_addresses_are_compared_in_network_order(match: Match, value: str) -> None:
    """Each address is compared whole, a network under its mask."""
    assert match.value.hex() == value
    assert (b"bitwise" in match.load) == (value == "0a000000")


def test_verdicts_and_draws_differ() -> None:
    """Numbers land where they belong."""
    assert bytes.fromhex("fffffffb") in return_().encoded
    assert bytes.fromhex("0800020000000003") in one_in(3).load
