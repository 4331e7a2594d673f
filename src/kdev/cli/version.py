"""``kdev version``."""

import click
import msgspec

from kdev import __version__
from kdev.kube.agent_container import AGENT_IMAGE
from kdev.tunnel.messages import PROTOCOL_VERSION


@click.command
@click.option("--output", type=click.Choice(["text", "json"]), default="text", help="Form of the answer.")
def version(output: str) -> None:
    """Print the version, and what the agent must match."""
    facts = {"version": __version__, "protocol": PROTOCOL_VERSION, "agentImage": AGENT_IMAGE}
    if output == "json":
        click.echo(msgspec.json.encode(facts))
    else:
        click.echo(f"kdev {__version__} (session protocol {PROTOCOL_VERSION}, agent image {AGENT_IMAGE})")
