"""``kdev explain``: why a request matches a session's filters, or does not. Needs no cluster."""

import click
import msgspec

from kdev.errors import UsageFailure
from kdev.mesh_adapters.interface import Identity
from kdev.policies.matching import compile_filters
from kdev.policies.verdict import Verdict

_XFCC = Identity(b"x-forwarded-client-cert", "xfcc")


@click.command
@click.option("--filter", "filters", multiple=True, metavar="FILTER", help="As for 'kdev shadow'; may be repeated.")
@click.option("--request", required=True, metavar="'METHOD TARGET'", help="The request line, for example 'GET /api/x'.")
@click.option("-H", "--header", "headers", multiple=True, metavar="'NAME: VALUE'", help="A header; may be repeated.")
@click.option("--port", default=80, type=click.IntRange(1, 65535), help="The application's port it is meant for.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="Form of the answer.")
def explain(filters: tuple[str, ...], request: str, headers: tuple[str, ...], port: int, output: str) -> None:
    """Tell why a request matches, or does not."""
    matcher = compile_filters(filters, identity=_XFCC, probes=())
    verdict = matcher.explain(_head(request, headers), port)
    if not verdict.well_formed:
        raise UsageFailure(
            "request-syntax", f"'{request}' is no request line", seen=request, advice="write --request 'GET /api/x'"
        )
    click.echo(msgspec.json.encode(verdict) if output == "json" else "\n".join(_lines(verdict)))


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
    if not verdict.filters:
        lines.append("  there is no filter: every request matches")
    for judged in verdict.filters:
        lines.append(f"  {_mark(judged.held)} --filter {judged.text!r}")
        for term in judged.terms:
            seen = ", ".join(map(repr, term.seen)) or "nothing"
            lines.append(f"      {_mark(term.held)} {term.term}: saw {seen}")
    return lines


def _mark(held: bool) -> str:
    return "✓" if held else "✗"
