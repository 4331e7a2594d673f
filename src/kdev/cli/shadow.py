"""``kdev shadow``: its options, and the loop around a session."""

import asyncio
import getpass
import os
import socket
import sys
from collections.abc import Coroutine
from typing import Any, TypeVar

import click
import msgspec

from kdev.cli import progress as reporting
from kdev.cli.local_process import LocalProcess
from kdev.cli.values import parse_duration, parse_share
from kdev.errors import ExitCode, Failure, UsageFailure
from kdev.kube.agent_container import AGENT_IMAGE
from kdev.kube.api import Api
from kdev.kube.kubeconfig import Selection, read_kubeconfig
from kdev.kube.ports import parse_port
from kdev.kube.targets import check_namespace, parse_target
from kdev.session.plan import Wish, check_filters
from kdev.session.runner import Session
from kdev.tunnel.messages import Mode

_Result = TypeVar("_Result")

_EPILOG = """\b
Examples:
  kdev shadow deploy/checkout -n staging --filter 'path=/api/*' -- npm run dev
  kdev shadow deploy/checkout --steal --filter 'header.x-dev=alice' --port 8080:3000
"""


@click.command(epilog=_EPILOG)
@click.argument("target")
@click.argument("command", nargs=-1, type=click.UNPROCESSED, metavar="[-- COMMAND...]")
@click.option("-n", "--namespace", help="The target's namespace; the context's by default.")
@click.option("--context", help="A context of the kubeconfig; the current one by default.")
@click.option(
    "--filter", "filters", multiple=True, metavar="FILTER",
    help="key=glob terms that must all hold, e.g. 'path=/api/* header.x-dev=alice'; repeated: one is enough.",
)  # fmt: skip
@click.option("--mirror", "mode", flag_value=Mode.MIRROR.value, default=True, help="Give a copy here (the default).")
@click.option("--steal", "mode", flag_value=Mode.STEAL.value, help="Answer matched requests here.")
@click.option(
    "--port", "ports", multiple=True, metavar="POD[:LOCAL]",
    help="A port of the pod, and the local one; every declared port by default.",
)  # fmt: skip
@click.option("--sample", default="100%", metavar="SHARE", help="The share of matched requests to act on, e.g. 10%.")
@click.option("--exclude-probes/--no-exclude-probes", default=True, help="Leave health probes on the pod.")
@click.option(
    "--timeout", metavar="DURATION", help="How long a stolen request waits for an answer; for ever by default."
)
@click.option("--dry-run", is_flag=True, help="Print the plan; touch nothing.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="Form of the plan or the summary.")
@click.option(
    "--progress", type=click.Choice(["auto", "plain", "json", "quiet"]), default="auto", help="Form of what is told."
)
@click.option("--agent-image", default=AGENT_IMAGE, show_default=True, help="Where the nodes find the agent.")
def shadow(target: str, command: tuple[str, ...], namespace: str | None, context: str | None, **options: Any) -> int:
    """Give a local process the requests of TARGET's pods.

    TARGET is deploy/NAME, sts/NAME, ds/NAME, rs/NAME, svc/NAME, pod/NAME or a name. COMMAND is started once requests
    arrive, and its exit code is kdev's; without one, a process that listens already is used.
    """
    parsed = parse_target(target)
    if namespace is not None:
        check_namespace(namespace)
    check_filters(options["filters"])
    ports = tuple(parse_port(text) for text in options["ports"])
    sample = parse_share(options["sample"])
    timeout = parse_duration(options["timeout"]) if options["timeout"] else None
    if options["dry_run"] is False and options["output"] == "json" and command:
        _refuse_two_writers()
    selection = read_kubeconfig(os.environ, context)
    wish = Wish(
        target=parsed,
        namespace=namespace or check_namespace(selection.namespace),
        mode=Mode(options["mode"]),
        filters=options["filters"],
        ports=ports,
        sample=sample,
        timeout=timeout,
        exclude_probes=options["exclude_probes"],
        image=options["agent_image"],
        owner=_owner(),
        command=command,
    )
    if options["dry_run"]:
        return _run(_print_plan(selection, wish, options["output"]))
    return _run(_session(selection, wish, options["progress"], options["output"]))


def _owner() -> str:
    """Who runs this, for the audit line and for a second developer at the same pod."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user need not have a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


def _refuse_two_writers() -> None:
    raise UsageFailure(
        "output-taken",
        "The summary as JSON and the command's own output would both go to stdout",
        seen="--output json with a command",
        advice="use --progress json, which writes the summary to stderr, or start the process by yourself",
    )


async def _print_plan(selection: Selection, wish: Wish, output: str) -> int:
    from kdev.cli import dry_run as rendering  # noqa: PLC0415 - a session that begins need not wait for it
    from kdev.session.dry_run import dry_run  # noqa: PLC0415 - as above

    async with Api(selection) as api:
        found = await dry_run(api, wish)
    click.echo(msgspec.json.encode(rendering.as_value(found)) if output == "json" else rendering.as_text(found))
    return ExitCode.OK


async def _session(selection: Selection, wish: Wish, progress: str, output: str) -> int:
    local = LocalProcess(wish.command)
    async with Api(selection) as api:
        session = Session(api, wish, reporting.choose(progress), local.start if wish.command else None)
        with local.signals(session):
            try:
                counts = await session.run()
            except Failure as failure:
                if progress != "json":
                    raise
                reporting.tell_failure(failure)
                return failure.exit_code
    if output == "json":
        click.echo(msgspec.json.encode(counts))
    return ExitCode.OK if session.exit_code is None else session.exit_code


def _run(main: Coroutine[None, None, _Result]) -> _Result:
    if sys.platform == "win32":
        return asyncio.run(main)
    import uvloop  # noqa: PLC0415 - does not exist on Windows

    return uvloop.run(main)
