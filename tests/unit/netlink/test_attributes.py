"""Netlink's wire format, byte for byte and round trip."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdev.netlink.attributes import (
    Message,
    attribute,
    decode_attributes,
    decode_messages,
    decode_text,
    encode_message,
    nested,
    text,
)

KINDS = st.integers(0, 0x3FFF)
VALUES = st.binary(max_size=300)


def test_an_attribute_is_padded_but_its_length_is_not() -> None:
    """The padding belongs to nobody."""
    assert attribute(3, b"lo\0") == struct.pack("=HH", 7, 3) + b"lo\0\0"


def test_nested_attributes_carry_the_flag_that_decoding_hides() -> None:
    """NLA_F_NESTED is set, and the kind reads back without it."""
    encoded = nested(4, attribute(1, b"abcd"))
    assert struct.unpack_from("=HH", encoded) == (12, 0x8004)
    assert decode_attributes(encoded) == {4: attribute(1, b"abcd")}


@given(st.dictionaries(KINDS, VALUES, max_size=8))
def test_attributes_read_back(attributes: dict[int, bytes]) -> None:
    """What is encoded is decoded."""
    assert decode_attributes(b"".join(attribute(k, v) for k, v in attributes.items())) == attributes


@given(st.lists(st.builds(Message, st.integers(0, 0xFFFF), st.integers(0, 0xFFFF), st.integers(0, 1 << 31), VALUES)))
def test_messages_read_back(messages: list[Message]) -> None:
    """Several messages of one datagram come back in their order."""
    padded = [m.body + bytes(-len(m.body) % 4) for m in messages]
    datagram = b"".join(
        encode_message(m.kind, m.flags, m.sequence, body) for m, body in zip(messages, padded, strict=True)
    )
    decoded = [(m.kind, m.flags, m.sequence, m.body) for m in decode_messages(datagram)]
    assert decoded == [(m.kind, m.flags, m.sequence, body) for m, body in zip(messages, padded, strict=True)]


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    """Nothing but ValueError comes of bytes that no kernel sent."""
    with contextlib.suppress(ValueError):
        list(decode_messages(data))
    with contextlib.suppress(ValueError):
        decode_attributes(data)


@pytest.mark.parametrize("size", [0, 3, 5, 100])
def test_an_attribute_that_does_not_fit_is_refused(size: int) -> None:
    """Lengths below the header and beyond the body are not believed."""
    body = struct.pack("=HH", size, 1)
    with pytest.raises(ValueError, match=f"attribute of {size} bytes"):
        decode_attributes(body)


def test_names_end_at_their_first_zero() -> None:
    """Interface names are padded with zeros of any number."""
    assert text("eth0") == b"eth0\0"
    assert decode_text(b"eth0\0\0\0") == "eth0"
