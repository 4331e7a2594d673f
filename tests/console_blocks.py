"""The commands that a page of the documentation shows, and what it says that they print."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```console(?: terminal=(\d+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)

INTERRUPT = "^C"
"""A line that stands for Ctrl-C."""


@dataclass(frozen=True)
class Shown:
    """One command and the lines below it.

    Attributes:
        terminal: In which of the reader's terminals; the first one has number 1.
        command: Behind the prompt; ``INTERRUPT`` for Ctrl-C; empty where only further output is shown.
        lines: Each is found somewhere in the output; ``…`` stands for anything.
    """

    terminal: int
    command: str
    lines: tuple[str, ...]

    def missing(self, output: str) -> list[str]:
        """The lines that the output does not have."""
        return [line for line in self.lines if not re.search(_pattern(line), output)]


def read(page: Path) -> list[Shown]:
    """All commands of a page's ``console`` blocks, in their order."""
    blocks = _FENCE.finditer(page.read_text(encoding="utf-8"))
    return [shown for block in blocks for shown in _commands(int(block[1] or 1), block[2].splitlines())]


def _commands(terminal: int, lines: list[str]) -> Iterator[Shown]:
    command = ""
    output: list[str] = []
    for line in lines:
        if line == INTERRUPT or line.startswith("$ "):
            if command or output:
                yield Shown(terminal, command, tuple(output))
            command, output = line.removeprefix("$ "), []
        else:
            output.append(line)
    yield Shown(terminal, command, tuple(output))


def _pattern(line: str) -> str:
    return ".*".join(map(re.escape, line.strip().split("…")))
