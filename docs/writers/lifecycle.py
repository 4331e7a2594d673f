"""The page about a session's life: the diagram of the very table that runs."""

from docs.writers.markdown import described
from kdev.session import lifecycle
from kdev.session.diagram import lifecycle_diagram


def page() -> str:
    """The page's text."""
    return (
        "# The life of a session\n"
        f"{described(lifecycle)}\n\n"
        "Each arrow is `event / commands`; what stands in brackets is the condition.\n\n"
        f"```mermaid\n{lifecycle_diagram()}```\n"
    )
