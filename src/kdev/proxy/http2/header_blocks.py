"""The header blocks that one peer sends, read in their order so that its dynamic table is followed (RFC 7541).

Two readers. ``FollowedBlocks`` only reads along: the blocks travel on untouched, dynamic table and all.
``StatelessBlocks`` reads for a router whose streams go to two places: every block it gives back stands for itself.
Because the router has told the sender to keep no dynamic table, that is the block as it came, except for the few that
were sent before the sender had heard.
"""

from typing import Final

from hpack import Decoder, HPACKError

from kdev.proxy.http2.frames import COMPRESSION_ERROR, Http2Error
from kdev.proxy.http2.header_fields import FieldPicker, Fields, encode_stateless, joined

FieldList = tuple[tuple[bytes, bytes], ...]

DECODED_LIMIT: Final = 1024 * 1024
"""Bytes of one decoded header list: a few bytes of a block may name a long table entry again and again."""

FOLLOWED_TABLE_LIMIT: Final = 64 * 1024
"""Largest dynamic table followed (chttp2 allows 16 KiB at most, nginx and Envoy 4 KiB)."""

DEFAULT_TABLE: Final = 4096
"""What a peer may use before it has read our SETTINGS_HEADER_TABLE_SIZE of 0."""

BLOCK_CACHE: Final = 256
"""Blocks remembered by their bytes: enough for a load of equal requests. Blocks are at most 2 KiB to be kept."""
CACHED_BLOCK: Final = 2048


class FollowedBlocks:
    """Decodes every block of one sender; equal blocks only once as long as they leave the dynamic table alone."""

    def __init__(self) -> None:
        self._decoder = Decoder(DECODED_LIMIT)
        self._decoder.max_allowed_table_size = FOLLOWED_TABLE_LIMIT
        self._cache: dict[bytes, FieldList] = {}

    def read(self, block: bytes) -> FieldList:
        """Decode a block; to be called exactly once for each, in order.

        Raises:
            Http2Error: The block cannot be decoded, and therefore none after it.
        """
        known = self._cache.get(block)
        if known is not None:
            return known
        table = self._decoder.header_table
        before = table.dynamic_entries[0] if table.dynamic_entries else None, len(table.dynamic_entries), table.maxsize
        fields = _decode(self._decoder, block)
        after = table.dynamic_entries[0] if table.dynamic_entries else None, len(table.dynamic_entries), table.maxsize
        if before[0] is not after[0] or before[1:] != after[1:]:
            self._cache.clear()
        elif len(block) <= CACHED_BLOCK:
            if len(self._cache) >= BLOCK_CACHE:
                self._cache.clear()
            self._cache[block] = fields
        return fields


class StatelessBlocks:
    """Reads the blocks of a sender that was told to keep no dynamic table.

    Attributes:
        stateless: Whether the sender has begun to obey: its table's size is zero.
    """

    def __init__(self, wanted: frozenset[bytes] = frozenset()) -> None:
        self.stateless = False
        self._wanted = wanted
        self._cache: dict[bytes, Fields] = {}
        self._picker = FieldPicker()
        self._decoder = Decoder(DECODED_LIMIT)
        self._decoder.max_allowed_table_size = DEFAULT_TABLE

    def want(self, wanted: frozenset[bytes]) -> None:
        """Change the names of the fields that ``read`` gives."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._cache.clear()

    def read(self, block: bytes) -> tuple[Fields, bytes]:
        """Read a block; to be called exactly once for each, in order.

        Returns:
            The wanted fields, and a block that means the same without a dynamic table: the same object if possible.

        Raises:
            Http2Error: The block cannot be decoded.
        """
        known = self._cache.get(block)
        if known is not None:
            return known, block
        zero = self.stateless or block[:1] == b"\x20"
        if zero or not self._decoder.header_table.dynamic_entries:
            picked = self._picker.pick(block, self._wanted)
            if picked and (zero or not picked[1]):
                self.stateless = zero
                self._remember(block, picked[0])
                return picked[0], block
        if self.stateless:
            raise Http2Error(COMPRESSION_ERROR, "a dynamic table was used that has no room")
        fields = _decode(self._decoder, block)
        self._cache.clear()
        self.stateless = self._decoder.header_table_size == 0
        return joined(fields, self._wanted), encode_stateless(fields)

    def _remember(self, block: bytes, fields: Fields) -> None:
        if len(block) > CACHED_BLOCK:
            return
        if len(self._cache) >= BLOCK_CACHE:
            self._cache.clear()
        self._cache[block] = fields


def _decode(decoder: Decoder, block: bytes) -> FieldList:
    try:
        return tuple(decoder.decode(block, raw=True))
    except HPACKError as error:
        raise Http2Error(COMPRESSION_ERROR, f"a header block cannot be decoded: {error}") from error
