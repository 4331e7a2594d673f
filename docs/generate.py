"""Writes the reference pages that are generated from code: ``make docs``.

A test compares the committed pages with what would be written now, so a page cannot say what the code no longer does.
"""

from collections.abc import Callable
from pathlib import Path

from docs.writers import commands, failures, filters, lifecycle, rooms, session_protocol

REFERENCE = Path(__file__).parent / "reference"

_NOTE = "<!-- Generated from the code by `make docs`; do not edit. -->\n"

PAGES: dict[str, Callable[[], str]] = {
    "commands.md": commands.page,
    "errors.md": failures.page,
    "filters.md": filters.page,
    "rooms.md": rooms.page,
    "session-lifecycle.md": lifecycle.page,
    "session-protocol.md": session_protocol.page,
}
"""Each page's file name, and what writes it."""


def text(name: str) -> str:
    """The page as it belongs into its file."""
    return _NOTE + PAGES[name]()


def main() -> None:
    """Write all pages."""
    REFERENCE.mkdir(exist_ok=True)
    for name in PAGES:
        (REFERENCE / name).write_text(text(name), encoding="utf-8")


if __name__ == "__main__":
    main()
