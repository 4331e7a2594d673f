"""The page about filters: the grammar, from the module that parses it."""

from docs.writers.markdown import described
from kdev.policies import filters, matching


def page() -> str:
    """The page's text."""
    return (
        "# Filters\n"
        f"{described(filters)}\n\n"
        f"Limits: {matching.MAX_FILTERS} filters for a session, {filters.MAX_FILTER_LENGTH} characters each.\n\n"
        "With worked examples: [write filters](../how-to/write-filters.md).\n"
    )
