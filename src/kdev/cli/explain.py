"""``kdev explain``: why a request matches a session's filters, or does not.

Needs no cluster, unless it is asked for the health probes of a target.
"""

import asyncio
import os

import click
import msgspec

from kdev.cli.values import parse_probe
from kdev.errors import UsageFailure
from kdev.mesh_adapters.interface import Identity
from kdev.policies.matching import compile_filters
from kdev.policies.verdict import Verdict
from kdev.tunnel.messages import Probe

_XFCC = Identity(b"x-forwarded-client-cert", "xfcc")


@click.command
@click.argument("target", required=False)
@click.option("-n", "--namespace", help="The target's namespace; the context's by default.")
@click.option("--context", help="A context of the kubeconfig; the current one by default.")
@click.option("--filter", "filters", multiple=True, metavar="FILTER", help="As for 'kdev shadow'; may be repeated.")
@click.option("--request", required=True, metavar="'METHOD TARGET'", help="The request line, for example 'GET /api/x'.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header; may be repeated.")
@click.option(
    "--port", type=click.IntRange(1, 65535),
    help="The application's port it is meant for; the first probe's by default, or else 80.",
)  # fmt: skip
@click.option("--probe", "probes", multiple=True, metavar="PORT/PATH", help="A health probe; may be repeated.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="Form of the answer.")
def explain(
    target: str | None,
    *,
    namespace: str | None,
    context: str | None,
    filters: tuple[str, ...],
    request: str,
    headers: tuple[str, ...],
    port: int | None,
    probes: tuple[str, ...],
    output: str,
) -> None:
    """Tell why a request matches, or does not.

    Health probes never match. Give them by --probe, or name a TARGET as for 'kdev shadow' to read them from its pods.
    """
    known = [parse_probe(text) for text in probes]
    head = _head(request, headers)
    compile_filters(filters, identity=_XFCC, probes=())
    if target is not None:
        known += _probes_of(target, namespace, context)
    port = port or (known[0].port if known else 80)
    verdict = compile_filters(filters, identity=_XFCC, probes=known).explain(head, port)
    if not verdict.well_formed:
        raise UsageFailure(
            "request-syntax", f"'{request}' is no request line", seen=request, advice="write --request 'GET /api/x'"
        )
    text = "\n".join([*_lines(verdict), *_almost_probe(verdict, known, request, port)])
    click.echo(msgspec.json.encode(verdict) if output == "json" else text)


def _probes_of(target: str, namespace: str | None, context: str | None) -> list[Probe]:
    """Read the probes of a target's pods."""
    from kdev.kube.api import Api  # noqa: PLC0415 - most explanations need no cluster
    from kdev.kube.kubeconfig import read_kubeconfig  # noqa: PLC0415 - as above
    from kdev.kube.probes import probes_of  # noqa: PLC0415 - as above
    from kdev.kube.targets import check_namespace, parse_target, resolve  # noqa: PLC0415 - as above

    parsed = parse_target(target)
    selection = read_kubeconfig(os.environ, context)

    async def read() -> list[Probe]:
        async with Api(selection) as api:
            resolved = await resolve(api, parsed, check_namespace(namespace or selection.namespace))
        return list(dict.fromkeys(probe for pod in resolved.pods for probe in probes_of(pod)))

    return asyncio.run(read())


def _head(request: str, headers: tuple[str, ...]) -> bytes:
    for header in headers:
        name, colon, _ = header.partition(":")
        if not (colon and name.strip()) or "\n" in header or "\r" in header:
            raise UsageFailure(
                "header-syntax",
                f"'{header}' is no header",
                seen=f"-H {header!r}",
                advice="write -H 'x-dev: alice'",
            )
    lines = [f"{request.strip()} HTTP/1.1", *headers]
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def _lines(verdict: Verdict) -> list[str]:
    lines = ["matches" if verdict.matched else "does not match"]
    if verdict.probe is not None:
        lines.append(
            "  ✗ it is a health probe, which always stays on the pod (see --no-exclude-probes of 'kdev shadow')"
        )
    if not verdict.filters:
        lines.append(f"  there is no filter: every {'other ' if verdict.probe else ''}request matches")
    for judged in verdict.filters:
        lines.append(f"  {_mark(judged.held)} --filter {judged.text!r}")
        for term in judged.terms:
            seen = ", ".join(map(repr, term.seen)) or "nothing"
            lines.append(f"      {_mark(term.held)} {term.term}: saw {seen}")
    return lines


def _almost_probe(verdict: Verdict, probes: list[Probe], request: str, port: int) -> list[str]:
    """Say it where the kubelet asks for the same path, but did not send this request."""
    path = request.split()[1].partition("?")[0]
    if verdict.probe is None and any((probe.port, probe.path) == (port, path) for probe in probes):
        return [f"  a health probe asks for {path}, too; this request is not one by its method or user-agent"]
    return []


def _mark(held: bool) -> str:
    return "✓" if held else "✗"
