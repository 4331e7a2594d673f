"""``python -m kdev.cli``: the command where its script is not on PATH."""

from kdev.cli import main

main()
