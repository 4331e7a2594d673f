"""What a speaker was asked, kept until a test asks for it."""

import asyncio
import hashlib
from collections import Counter
from typing import Any

WITHIN = 20.0
"""Seconds for what was sent to arrive, on a busy machine."""

Record = dict[str, Any]


class Ledger:
    """Everything that arrived whole, by the cell of the matrix that sent it."""

    def __init__(self) -> None:
        self._records: list[Record] = []
        self._arrived: Counter[str] = Counter()
        self._changed = asyncio.Condition()

    async def add(self, cell: str, kind: str, **facts: object) -> None:
        """Keep one."""
        async with self._changed:
            self._records.append({"cell": cell, "kind": kind, **facts})
            self._changed.notify_all()

    async def find(self, cell: str, kind: str, count: int) -> list[Record]:
        """What arrived of this cell and kind, as soon as it is ``count`` or more.

        Raises:
            TimeoutError: It does not come to be as many.
        """
        async with asyncio.timeout(WITHIN), self._changed:
            await self._changed.wait_for(lambda: len(self._of(cell, kind)) >= count)
            return self._of(cell, kind)

    async def arrived(self, cell: str, size: int) -> None:
        """So many bytes more of a body have come, of which the end has not."""
        async with self._changed:
            self._arrived[cell] += size
            self._changed.notify_all()

    async def until_arrived(self, cell: str, size: int) -> None:
        """Wait until so many bytes of a cell's bodies have come.

        Raises:
            TimeoutError: They do not come.
        """
        async with asyncio.timeout(WITHIN), self._changed:
            await self._changed.wait_for(lambda: self._arrived[cell] >= size)

    def all(self) -> list[Record]:
        """Everything so far."""
        return list(self._records)

    def _of(self, cell: str, kind: str) -> list[Record]:
        return [record for record in self._records if (record["cell"], record["kind"]) == (cell, kind)]


class Digest:
    """Counts and hashes what arrives in pieces."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.count = 0
        self.bytes = 0

    def add(self, data: bytes) -> None:
        """One more piece."""
        self._hash.update(data)
        self.count += 1
        self.bytes += len(data)

    def facts(self) -> Record:
        """As it is told: how many bytes, and their checksum."""
        return {"bytes": self.bytes, "sha256": self._hash.hexdigest()}


def content(size: int) -> bytes:
    """The same bytes at both ends for each size, of which no part is like another."""
    return hashlib.shake_128(b"matrix").digest(size)
