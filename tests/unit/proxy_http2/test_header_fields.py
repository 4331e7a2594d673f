from hpack import Decoder, Encoder
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kdev.policies.requests import REPEATED
from kdev.proxy.http2.header_blocks import FollowedBlocks, StatelessBlocks
from kdev.proxy.http2.header_fields import FieldPicker, encode_stateless, joined

NAMES = st.sampled_from([b":path", b":method", b"cookie", b"x-request-id", b"accept", b"x"])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=150)), max_size=8)
WANTED = frozenset({b":path", b"x-request-id", b"x"})


def decoded(block: bytes) -> list[tuple[bytes, bytes]]:
    """Decode a block that stands for itself."""
    return [(name, value) for name, value in Decoder().decode(block, raw=True)]


@given(FIELDS)
@settings(max_examples=100)
def test_what_is_encoded_without_a_table_decodes_to_the_same(fields: list[tuple[bytes, bytes]]) -> None:
    """A stateless block means what it was made from, and leaves no trace in a decoder."""
    decoder = Decoder()
    assert list(decoder.decode(encode_stateless(fields), raw=True)) == fields
    assert not decoder.header_table.dynamic_entries


@given(FIELDS, st.booleans())
@settings(max_examples=100)
def test_picked_fields_are_those_a_decoder_finds(fields: list[tuple[bytes, bytes]], huffman: bool) -> None:
    """Picking finds in any encoder's stateless block what decoding all of it finds, repeated fields joined."""
    encoder = Encoder()
    encoder.header_table_size = 0
    block = encoder.encode(fields, huffman=huffman)
    picked = FieldPicker().pick(block, WANTED)
    assert picked is not None
    assert picked[0] == joined(fields, WANTED)


@given(st.binary(max_size=60))
@example(block=b"\x0f\x80\x80\x80\x80\x80")
@settings(max_examples=200)
def test_garbage_is_none_or_fields_but_never_a_surprise(block: bytes) -> None:
    """Picking from garbage answers or declines."""
    picked = FieldPicker().pick(block, WANTED)
    assert picked is None or isinstance(picked[0], dict)


@given(st.lists(FIELDS, max_size=6), st.sampled_from([0, 100, 4096]))
@settings(max_examples=60)
def test_every_block_of_a_sender_becomes_stateless(blocks: list[list[tuple[bytes, bytes]]], table: int) -> None:
    """Whatever table the sender keeps, what comes out stands for itself and means the same."""
    encoder, reader = Encoder(), StatelessBlocks(WANTED)
    for place, fields in enumerate(blocks):
        if place == 2:
            encoder.header_table_size = table
        picked, block = reader.read(encoder.encode(fields))
        assert picked == joined(fields, WANTED)
        assert decoded(block) == fields


@given(st.lists(FIELDS, max_size=8))
@settings(max_examples=60)
def test_followed_blocks_mean_what_was_sent(blocks: list[list[tuple[bytes, bytes]]]) -> None:
    """A reader that remembers equal blocks never mistakes one for another whose table has changed."""
    encoder, reader = Encoder(), FollowedBlocks()
    for fields in [*blocks, *blocks]:
        assert list(reader.read(encoder.encode(fields))) == fields


def test_repeated_fields_are_joined_as_the_matcher_expects() -> None:
    """Two values of one name stand in one, with the matcher's own separator between them."""
    assert joined([(b"x", b"1"), (b"x", b"2")], WANTED) == {b"x": b"1" + REPEATED + b"2"}
