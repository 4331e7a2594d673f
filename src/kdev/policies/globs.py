"""Globs over bytes, matched in linear time.

Filters come from users and are asked for each request, so that no pattern may cost more than its length times
the value's. Python's ``re`` backtracks; the expressions made here cannot: each run of any bytes is an atomic group
that stops at the leftmost place where the next literal piece fits. Leftmost is enough, because what follows may
begin anywhere after it.
"""

import re
from dataclasses import dataclass
from enum import Enum


class Wildcard(Enum):
    """What a glob may hold besides the bytes themselves."""

    RUN = "*"
    ONE = "?"


Piece = tuple[int | Wildcard, ...]
"""Bytes and ``Wildcard.ONE``: a part of a glob whose length is fixed."""


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern for a whole value: bytes (0 to 255) and wildcards; ``?`` is one byte."""

    parts: tuple[int | Wildcard, ...]

    def literal(self) -> bytes | None:
        """The only value that matches, or None where there is a wildcard."""
        if any(isinstance(part, Wildcard) for part in self.parts):
            return None
        return bytes(part for part in self.parts if isinstance(part, int))

    def compile(self, *, ignore_case: bool = False) -> re.Pattern[bytes]:
        """Return an expression for ``fullmatch``; the case of ASCII letters alone can be ignored."""
        first, *others = self._pieces()
        expression = _fixed(first)
        if others:
            *inner, last = others
            expression += b"".join(b"(?>.*?%s)" % _fixed(piece) for piece in inner if piece)
            # The last piece stands at the end: go there at once, and look back.
            expression += b".{%d,}+(?<=%s)" % (len(last), _fixed(last)) if last else b".*+"
        return re.compile(expression, re.DOTALL | (re.IGNORECASE if ignore_case else 0))

    def _pieces(self) -> list[Piece]:
        """The parts between the runs, of which the first and the last may be empty."""
        pieces: list[list[int | Wildcard]] = [[]]
        for part in self.parts:
            if part is Wildcard.RUN:
                pieces.append([])
            else:
                pieces[-1].append(part)
        return [tuple(piece) for piece in pieces]


def _fixed(piece: Piece) -> bytes:
    return b"".join(re.escape(bytes([part])) if isinstance(part, int) else b"." for part in piece)
