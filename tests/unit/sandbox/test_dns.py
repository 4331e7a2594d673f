"""The name server's answers, as messages."""

import struct
from ipaddress import IPv4Address

from hypothesis import given
from hypothesis import strategies as st

from kdev.sandbox.dns import names_of, resolv_conf
from kdev.sandbox.dns_messages import MESSAGE_LIMIT, answer
from kdev.sandbox.interface import Service, ServicePort

NAMES = {"cart.shop.svc.cluster.local": (IPv4Address("10.96.0.7"),)}
A, AAAA = 1, 28


def _query(name: str, kind: int = A, *, flags: int = 0x0100) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 77, flags, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def _outcome(message: bytes) -> tuple[int, int, int]:
    """Identifier, response code, number of answers."""
    identifier, flags, _, answers, _, _ = struct.unpack_from("!HHHHHH", message)
    return identifier, flags & 0xF, answers


def test_a_service_has_its_address() -> None:
    """A query for a known name is answered with its address, whatever its case."""
    message = answer(_query("Cart.shop.svc.cluster.LOCAL"), NAMES)
    assert _outcome(message) == (77, 0, 1)
    assert message.endswith(IPv4Address("10.96.0.7").packed)


def test_a_known_name_without_ipv6_exists() -> None:
    """AAAA of a known name is an empty answer: a name error would make resolvers give up on A too."""
    assert _outcome(answer(_query("cart.shop.svc.cluster.local", AAAA), NAMES)) == (77, 0, 0)


def test_other_names_do_not_exist() -> None:
    """There is nobody else to ask."""
    assert _outcome(answer(_query("example.org"), NAMES)) == (77, 3, 0)


def test_only_queries_are_answered() -> None:
    """A dynamic update is not implemented, and says so."""
    assert _outcome(answer(_query("example.org", flags=5 << 11), NAMES)) == (77, 4, 0)


def test_many_addresses_stay_within_a_datagram() -> None:
    """A headless service's answer is cut to what every resolver takes."""
    many = {"a.b": tuple(IPv4Address(number) for number in range(200))}
    assert len(answer(_query("a.b"), many)) <= MESSAGE_LIMIT


@given(st.binary(min_size=2, max_size=600))
def test_garbage_gets_an_answer(message: bytes) -> None:
    """Any datagram is answered, under its own identifier, without an exception."""
    reply = answer(message, NAMES)
    assert reply[:2] == message[:2]
    assert len(reply) <= MESSAGE_LIMIT + len(message)


def test_services_have_full_names() -> None:
    """A service is named by its address, a headless one by its endpoints'."""
    port = ServicePort("http", 80, "TCP", "", (("10.244.0.9", 8080), ("10.244.0.8", 8080)))
    names = names_of([Service("shop", "cart", "10.96.0.7", (port,)), Service("shop", "db", "", (port,))])
    assert names["cart.shop.svc.cluster.local"] == (IPv4Address("10.96.0.7"),)
    assert names["db.shop.svc.cluster.local"] == (IPv4Address("10.244.0.8"), IPv4Address("10.244.0.9"))


def test_short_names_are_searched_in_the_pods_namespace_first() -> None:
    """resolv.conf has Kubernetes' search list and ndots."""
    assert resolv_conf("shop").splitlines()[0] == "search shop.svc.cluster.local svc.cluster.local cluster.local"
    assert "options ndots:5" in resolv_conf("shop")
