"""How a failure looks: one sentence of cause, what was seen, what to do next, and a reference to search for."""

from kdev.errors import Failure


def render(failure: Failure) -> str:
    """The failure as plain text; lines of somebody else's words stay lines."""
    told = failure.explanation
    lines = [f"error: {told.cause}"]
    if told.seen:
        lines += _labelled("seen: ", told.seen)
    lines += _labelled("next: ", told.advice)
    lines.append(f"  [{told.reference}, exit code {int(failure.exit_code)}]")
    return "\n".join(lines)


def _labelled(label: str, text: str) -> list[str]:
    first, *rest = text.splitlines() or [""]
    return [f"  {label}{first}".rstrip(), *(f"  {' ' * len(label)}{line}".rstrip() for line in rest)]
