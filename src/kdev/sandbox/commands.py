"""``kdev sandbox``: the embedded cluster from the command line."""

import asyncio
import json
import os
import shutil
import sys
from typing import Any

import click

from kdev.errors import LocalFailure, TargetFailure, UsageFailure
from kdev.sandbox import lifetime
from kdev.sandbox.bookstore import MESHED
from kdev.sandbox.cluster import connect
from kdev.sandbox.entering import Owner, run_inside
from kdev.sandbox.images import HOST
from kdev.sandbox.manifests import PROTOCOLS, Port, Workload, http_probes, names, tcp_probes
from kdev.sandbox.mesh.shape import PROXY_UID, SIDECAR
from kdev.sandbox.selection import choose_container, choose_pod
from kdev.sandbox.state import DEFAULT_NAME, State

_CURL = {"ignore_unknown_options": True}
"""What is not ours is curl's."""

_named = click.option(
    "--name", envvar="KDEV_SANDBOX", default=DEFAULT_NAME, show_default=True, help="Which sandbox, of several at once."
)


@click.group()
def sandbox() -> None:
    """A cluster on this machine: pods with real Envoy sidecars in STRICT mTLS, and a Kubernetes API."""


@sandbox.command()
@_named
def up(name: str) -> None:
    """Start the sandbox and its example bookstore."""
    kubeconfig = lifetime.start(_state(name), _say)
    _say(f"ready: export KUBECONFIG={kubeconfig}")


@sandbox.command()
@_named
def down(name: str) -> None:
    """End the sandbox and remove everything of it."""
    stopped = lifetime.stop(_state(name))
    _say(f'sandbox "{name}" is gone' if stopped else f'there is no sandbox "{name}"')


@sandbox.command()
@_named
@click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def status(name: str, output: str) -> None:
    """Show the pods and what runs in them."""
    found = _state(name).read_status()
    if output == "json":
        click.echo(json.dumps(found))
        return
    for pod in found["pods"]:
        running = ", ".join(f"{container['name']} ({container['pid']})" for container in pod["containers"])
        ready = "ready" if pod["ready"] else "not ready"
        click.echo(f"{pod['namespace']}/{pod['name']}  {pod['ip']}  {ready}  {running}")


@sandbox.command()
@_named
def kubeconfig(name: str) -> None:
    """Print the path of the sandbox's kubeconfig."""
    click.echo(_state(name).read_status()["kubeconfig"])


@sandbox.command()
@_named
@click.argument("workload", metavar="NAME")
@click.option("--namespace", "-n", default=MESHED, show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), required=True, help="The port that the command listens on.")
@click.option("--replicas", type=click.IntRange(0, 20), default=1, show_default=True)
@click.option("--protocol", type=click.Choice(PROTOCOLS), default="http", show_default=True)
@click.option("--env", "variables", multiple=True, metavar="K=V", help="A variable of the command; repeatable.")
@click.option("--probe", metavar="PATH", default="", help="Ask this path for readiness and liveness.")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def run(  # noqa: PLR0917 - click passes every option
    name: str,
    workload: str,
    namespace: str,
    port: int,
    replicas: int,
    protocol: str,
    variables: tuple[str, ...],
    probe: str,
    command: tuple[str, ...],
) -> None:
    """Run a command of this machine as a deployment with a service: NAME [options] -- COMMAND..."""
    described = Workload(
        workload,
        namespace,
        HOST,
        (Port(protocol, port, port),),
        replicas=replicas,
        command=tuple(_literal(word) for word in (_program(command[0]), *command[1:])),
        directory=os.getcwd(),  # noqa: PTH109 - a plain string for a manifest
        environment={"PATH": _literal(os.environ.get("PATH", os.defpath)), **dict(map(_variable, variables))},
        probes=http_probes(probe, port) if probe else tcp_probes(port),
    )
    objects = described.objects()
    asyncio.run(_apply(_state(name).read_status()["kubeconfig"], objects))


@sandbox.command(context_settings=_CURL)
@_named
@click.option("--from", "origin", default=f"{MESHED}/storefront", show_default=True, metavar="POD|NS")
@click.option("--plain", is_flag=True, help="Go past the sidecar, without mTLS: a STRICT service refuses.")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="URL [CURL'S OPTIONS]...")
def curl(name: str, origin: str, *, plain: bool, arguments: tuple[str, ...]) -> None:
    """Send a request from a pod, through its sidecar."""
    if shutil.which("curl") is None:
        raise LocalFailure("curl-missing", "curl is not installed", advice="sudo apt-get install curl")
    pod = choose_pod(_state(name).read_status()["pods"], origin)
    _run_inside(pod, "", ("curl", *arguments), Owner(PROXY_UID, PROXY_UID) if plain else None)


@sandbox.command("exec")
@_named
@click.option("--namespace", "-n", default="", help="The pod's namespace, when its name is not unique.")
@click.option("--container", "-c", default="", help="Which container; default: the first that is no sidecar.")
@click.argument("pod")
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def execute(name: str, namespace: str, container: str, pod: str, command: tuple[str, ...]) -> None:
    """Run a program inside a pod: POD -- COMMAND..."""
    origin = f"{namespace}/{pod}" if namespace else pod
    _run_inside(choose_pod(_state(name).read_status()["pods"], origin), container, command, None)


async def _apply(path: str, objects: list[dict[str, Any]]) -> None:
    async with connect(path) as cluster:
        await cluster.apply(objects)
        await cluster.await_available(names(objects), lifetime.READY_WITHIN, _say)


def _run_inside(pod: dict[str, Any], container: str, command: tuple[str, ...], owner: Owner | None) -> None:
    pid = choose_container(pod, container, SIDECAR)["pid"]
    try:
        sys.exit(run_inside(pid, command, owner or Owner.of_process(pid)))
    except FileNotFoundError as error:
        raise TargetFailure(
            "pod-ended", f"Pod {pod['name']} has just ended", seen=str(error), advice="run the command again"
        ) from error
    except PermissionError as error:
        raise LocalFailure(
            "sandbox-needs-root", "Entering a pod needs root", seen=str(error), advice="run it with sudo"
        ) from error


def _state(name: str) -> State:
    return State.of(name, os.environ)


def _say(line: str) -> None:
    click.echo(line, err=True)


def _program(word: str) -> str:
    """The command's full path: the container starts in the same tree, but with nobody's shell."""
    found = shutil.which(word)
    if found is None:
        raise UsageFailure(
            "command-not-found", f'"{word}" is not a program of this machine', advice="check its spelling"
        )
    return os.path.abspath(found)  # noqa: PTH100 - links must stay: a virtual environment's python is one


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise UsageFailure("variable", f'"{text}" is not of the form K=V', advice="for example --env LOG_LEVEL=debug")
    return name, _literal(value)


def _literal(word: str) -> str:
    """Written so that Kubernetes, which expands ``$(NAME)``, leaves it as it is."""
    return word.replace("$", "$$")
