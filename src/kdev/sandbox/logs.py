"""What a container wrote, kept in memory within a bound, for ``kubectl logs``."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime

KEPT_BYTES = 1 << 20
"""Of each run of a container. A kubelet keeps 10 MiB on disk; this is memory, times a dozen containers."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line, with its line end unless it was cut or the container ended within it."""

    at: datetime
    content: bytes


class Log:
    """The lines of one run of one container."""

    def __init__(self) -> None:
        self._lines: deque[Line] = deque()
        self._dropped = 0
        self._size = 0
        self._closed = False
        self._changed = asyncio.Event()

    def append(self, content: bytes) -> None:
        """Add a line; the oldest make room."""
        self._lines.append(Line(datetime.now(UTC), content))
        self._size += len(content)
        while self._size > KEPT_BYTES:
            self._size -= len(self._lines.popleft().content)
            self._dropped += 1
        self._wake()

    def close(self) -> None:
        """Nothing more comes; followers end."""
        self._closed = True
        self._wake()

    async def read(self, *, follow: bool, tail_lines: int | None, timestamps: bool) -> AsyncIterator[bytes]:
        """The lines kept, then with ``follow`` those that come until the container ends."""
        place = self._dropped if tail_lines is None else self._dropped + max(0, len(self._lines) - tail_lines)
        while True:
            place = max(place, self._dropped)
            for line in list(self._lines)[place - self._dropped :]:
                place += 1
                yield _stamped(line) if timestamps else line.content
            if place < self._dropped + len(self._lines):
                continue  # more came while the reader was busy
            if self._closed or not follow:
                return
            await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def _stamped(line: Line) -> bytes:
    return line.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ").encode() + b" " + line.content
