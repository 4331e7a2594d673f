"""The page about commands: each one's help, as the command itself prints it."""

from collections.abc import Iterator

import click

from kdev.cli.entry import kdev

_WIDTH = 100
_INTRODUCTION = "# Commands\nWhat `--help` prints. Exit codes and error references: [errors](errors.md).\n"


def page(root: click.Command = kdev) -> str:
    """The page's text."""
    top = click.Context(root, info_name="kdev", terminal_width=_WIDTH, help_option_names=["-h", "--help"])
    parts = (f"## `{context.command_path}`\n```\n{context.get_help()}\n```\n" for context in _contexts(top))
    return "\n".join((_INTRODUCTION, *parts))


def _contexts(context: click.Context) -> Iterator[click.Context]:
    """A command and all below it, in the order of the help."""
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            assert command is not None
            yield from _contexts(click.Context(command, parent=context, info_name=name, terminal_width=_WIDTH))
