"""Commands, progress and the rendering of errors; the only room that prints."""

import sys


def main() -> None:
    """The ``kdev`` command."""
    from kdev.cli.entry import run  # noqa: PLC0415 - importing the package is free for whoever only wants a part of it

    sys.exit(run(sys.argv[1:]))
