"""Following a page: typing what it shows, and holding what is printed against it."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from tests import console_blocks
from tests.integration.docs.terminal import Terminal

ROOT = Path(__file__).parents[3]


def follow(page: Path, environment: Mapping[str, str]) -> None:
    """Type each command in its terminal, in the page's order; each prints the lines that are shown below it."""
    with ExitStack() as terminals:
        opened: dict[int, Terminal] = {}
        for shown in console_blocks.read(page):
            if shown.terminal not in opened:
                opened[shown.terminal] = terminals.enter_context(Terminal(ROOT, environment))
            _type(shown, opened[shown.terminal])


def _type(shown: console_blocks.Shown, terminal: Terminal) -> None:
    """Wait for the command's end, or in the second terminal, where a session runs on, for what it should print."""
    if shown.command == console_blocks.INTERRUPT:
        terminal.interrupt()
    elif shown.command:
        terminal.type(shown.command)
    if shown.terminal == 1 or shown.command == console_blocks.INTERRUPT or not shown.lines:
        terminal.wait_until_done()
    else:
        terminal.wait_for(lambda output: not shown.missing(output))
    assert shown.missing(terminal.output) == [], f"after '{shown.command}':\n{terminal.output}"
