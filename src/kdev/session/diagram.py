"""The lifecycle's diagram for the documentation, drawn from the very table that runs."""

from kdev.session.lifecycle import TABLE, Phase, Row


def lifecycle_diagram() -> str:
    """The table as a Mermaid state diagram, one arrow for each pair of phases."""
    arrows: dict[tuple[Phase, Phase], list[str]] = {}
    for row in TABLE:
        arrows.setdefault((row.source, row.target), []).append(_label(row))
    lines = ["stateDiagram-v2", f"    [*] --> {_name(Phase.RESOLVING)}"]
    lines += [
        f"    {_name(source)} --> {_name(target)}: {' | '.join(labels)}" for (source, target), labels in arrows.items()
    ]
    lines.append(f"    {_name(Phase.ENDED)} --> [*]")
    return "\n".join(lines) + "\n"


def _label(row: Row) -> str:
    text = row.event.__name__
    if row.until_last:
        text += " (last pod)"
    if row.listening is not None:
        text += " (listening)" if row.listening else " (not listening)"
    if row.commands:
        text += " / " + ", ".join(command.value for command in row.commands)
    return text


def _name(phase: Phase) -> str:
    return phase.value.replace("-", "_")
