"""Header blocks that stand for themselves: read in passing, and written, without a dynamic table (RFC 7541).

In a mesh every block is unique (x-request-id, traceparent), so that decoding all of one costs more than the rest of
the hop. Where the sender keeps no dynamic table, the few fields a filter looks at can be picked out and the others
skipped without decoding them.
"""

from collections.abc import Iterable
from typing import Final

from hpack import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.struct import HeaderTuple
from hpack.table import HeaderTable

from kdev.policies.requests import REPEATED
from kdev.proxy.http2.frames import COMPRESSION_ERROR, Http2Error

Fields = dict[bytes, bytes]
"""Fields by lower-case name; the values of a repeated one joined as the matcher expects it."""

TABLE_SIZE_ZERO: Final = b"\x20"
"""A dynamic table size update to nothing: the first bytes of the first block after the limit was lowered
(RFC 7541, section 4.2)."""

NAME_CACHE: Final = 1000
"""Encoded field names remembered; a client has a few dozen, and one that invents names gains nothing."""

_INDEXED, _INSERTED, _SIZE_UPDATE = 0x80, 0x40, 0x20
_STATIC = HeaderTable.STATIC_TABLE
_PAIR_INDEX = {pair: index for index, pair in enumerate(_STATIC, 1)}
_NAME_INDEX = {name: index for index, (name, _) in reversed(list(enumerate(_STATIC, 1)))}
_MAX_SHIFT = 28


class SizeUpdateMark:
    """Whether the next block to one peer must begin with a size update, since its limit was or may be lowered.

    The sender of the blocks says it once, and perhaps in a block that went elsewhere.
    """

    def __init__(self) -> None:
        self.due = True

    def apply(self, block: bytes) -> bytes:
        """Give the block as it has to be sent: the same object if nothing is due."""
        if not self.due:
            return block
        self.due = False
        return block if block.startswith(TABLE_SIZE_ZERO) else TABLE_SIZE_ZERO + block


class FieldPicker:
    """Picks wanted fields out of stateless blocks; remembers the encoded names it has met."""

    def __init__(self) -> None:
        self._names: Fields = {}

    def pick(self, block: bytes, wanted: frozenset[bytes]) -> tuple[Fields, bool] | None:
        """Read the wanted fields of a block.

        Returns:
            The fields, and whether the block inserts into a dynamic table (which means nothing where that has no
            room); None if the block refers to a dynamic table or is broken.
        """
        fields: Fields = {}
        offset, end, inserts = 0, len(block), False
        try:
            while offset < end:
                first = block[offset]
                if first & _INDEXED:
                    offset += 1
                    if not 0x80 < first < 0x81 + len(_STATIC):
                        return None
                    name, value = _STATIC[first - 0x81]
                elif first & 0xE0 == _SIZE_UPDATE:
                    if first != _SIZE_UPDATE:
                        return None
                    offset += 1
                    continue
                else:
                    inserts = inserts or first & _INSERTED != 0
                    name, offset = self._literal_name(block, offset, 0x3F if first & _INSERTED else 0x0F)
                    length, begin = _integer(block, offset, 0x7F)
                    huffman, offset = block[offset] & 0x80, begin + length
                    if name not in wanted:
                        continue
                    value = decode_huffman(block[begin:offset]) if huffman else block[begin:offset]
                if name in wanted:
                    fields[name] = fields[name] + REPEATED + value if name in fields else value
        except (IndexError, HPACKDecodingError, Http2Error):
            return None
        return (fields, inserts) if offset == end else None

    def _literal_name(self, block: bytes, offset: int, mask: int) -> tuple[bytes, int]:
        index, begin = _integer(block, offset, mask)
        if index:
            if index > len(_STATIC):
                raise IndexError(index)
            return _STATIC[index - 1][0], begin
        length, text = _integer(block, begin, 0x7F)
        stop = text + length
        encoded = block[begin:stop]
        name = self._names.get(encoded)
        if name is None:
            if len(self._names) >= NAME_CACHE:
                self._names.clear()
            name = decode_huffman(block[text:stop]) if block[begin] & 0x80 else block[text:stop]
            self._names[encoded] = name
        return name, stop


def encode_stateless(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Write a header block that neither uses nor changes a dynamic table; what was never to be indexed stays so."""
    out = bytearray()
    for field in fields:
        name, value = field
        indexable = not isinstance(field, HeaderTuple) or field.indexable
        pair = _PAIR_INDEX.get((name, value))
        if pair and indexable:
            out.append(_INDEXED | pair)
            continue
        index = _NAME_INDEX.get(name, 0)
        out += _write_integer(index, 0x0F, 0 if indexable else 0x10)
        if not index:
            out += _write_integer(len(name), 0x7F) + name
        out += _write_integer(len(value), 0x7F) + value
    return bytes(out)


def joined(fields: Iterable[tuple[bytes, bytes]], wanted: frozenset[bytes]) -> Fields:
    """Pick wanted fields out of a decoded list, in the shape ``FieldPicker`` gives them."""
    picked: Fields = {}
    for name, value in fields:
        if name in wanted:
            picked[name] = picked[name] + REPEATED + value if name in picked else value
    return picked


def _integer(block: bytes, offset: int, mask: int) -> tuple[int, int]:
    """Read a prefixed integer (RFC 7541, section 5.1); returns it and where it ends."""
    value = block[offset] & mask
    offset += 1
    if value != mask:
        return value, offset
    shift = 0
    while True:
        byte = block[offset]
        offset += 1
        value += (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
        shift += 7
        if shift > _MAX_SHIFT:
            raise Http2Error(COMPRESSION_ERROR, "an integer without an end")


def _write_integer(value: int, mask: int, pattern: int = 0) -> bytes:
    if value < mask:
        return bytes((pattern | value,))
    out = bytearray((pattern | mask,))
    value -= mask
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
