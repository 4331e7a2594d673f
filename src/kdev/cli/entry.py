"""Where every command begins and ends: finding it, and telling its failure."""

import os
import platform
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module

import click

from kdev.cli.failures import render
from kdev.errors import ExitCode, Failure, LocalFailure, UsageFailure

_COMMANDS = {
    "shadow": ("kdev.cli.shadow", "Give a local process the requests of TARGET's pods."),
    "explain": ("kdev.cli.explain", "Tell why a request matches, or does not."),
    "sandbox": (
        "kdev.sandbox.commands",
        "A cluster on this machine: pods with real Envoy sidecars in STRICT mTLS, and a Kubernetes API.",
    ),
    "version": ("kdev.cli.version", "Print the version, and what the agent must match."),
}
"""A command's module, where the command has the same name, and its summary: a module is imported only when its command
is asked for, since the help would otherwise wait for all that any command needs."""


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_COMMANDS)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name == "sandbox" and platform.system() != "Linux":
            raise LocalFailure(
                "sandbox-needs-linux",
                "The sandbox needs Linux: its pods are kernel namespaces",
                seen=platform.system(),
                advice="run it in a Linux virtual machine, or use kdev with a cluster",
            )
        try:
            module = import_module(_COMMANDS[cmd_name][0])
        except ModuleNotFoundError as error:
            raise LocalFailure(
                "part-not-installed",
                f"'kdev {cmd_name}' needs a Python package that is not installed",
                seen=str(error),
                advice="install it with: pip install 'kdev[sandbox]'",
            ) from error
        command: click.Command = getattr(module, cmd_name)
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
def kdev() -> None:
    """Run a local process as if it were a pod of a meshed Kubernetes workload."""


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit code; failures are told on stderr.

    With ``KDEV_DEBUG`` set, the chain of exceptions that led to a failure is told, too.
    """
    try:
        code = kdev.main(list(arguments), prog_name="kdev", standalone_mode=False)
    except Failure as failure:
        return _tell(failure)
    except click.UsageError as error:
        return _tell(_usage(error))
    except (click.Abort, KeyboardInterrupt):
        return 128 + 2  # SIGINT, as a shell reports it
    return code if isinstance(code, int) else ExitCode.OK


def _usage(error: click.UsageError) -> UsageFailure:
    command = error.ctx.command_path if error.ctx else "kdev"
    failure = UsageFailure(
        "usage", error.format_message().rstrip(".").replace("\n", " "), advice=f"see '{command} --help'"
    )
    failure.__cause__ = error
    return failure


def _tell(failure: Failure) -> int:
    if os.environ.get("KDEV_DEBUG"):
        traceback.print_exception(failure, file=sys.stderr)
    print(render(failure), file=sys.stderr)  # noqa: T201 - this is where failures are told
    return failure.exit_code
