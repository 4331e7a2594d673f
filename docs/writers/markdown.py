"""From the docstrings' reStructuredText, of which the code uses little, to Markdown."""

import inspect
import re
from collections.abc import Iterable, Sequence

_LITERAL = re.compile(r"``(.+?)``")
_RULE = re.compile(r"=+(?: +=+)+")
_ATTRIBUTE = re.compile(r"(\w+): (.*)")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; cells may hold anything, line breaks included."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(_cell, line)) + " |\n" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", "<br>")


def described(thing: object) -> str:
    """A docstring as Markdown, without its ``Attributes`` section."""
    return converted(_sections(thing)[0])


def attributes(thing: object) -> dict[str, str]:
    """What a docstring's ``Attributes`` section says, by name."""
    found: dict[str, str] = {}
    name = ""
    for line in _sections(thing)[1].splitlines():
        entry = _ATTRIBUTE.fullmatch(line[4:])
        if entry:
            name = entry[1]
            found[name] = converted(entry[2])
        elif name:
            found[name] += " " + converted(line.strip())
    return found


def _sections(thing: object) -> tuple[str, str]:
    text, _, listed = (inspect.getdoc(thing) or "").partition("\nAttributes:\n")
    return text.strip(), listed


def converted(text: str) -> str:
    """Literals, blocks behind ``::`` and simple tables, as Markdown writes them."""
    lines = text.splitlines()
    written: list[str] = []
    while lines:
        line = lines.pop(0)
        if line == "::":
            written += ["```", *_block(lines), "```", ""]
        elif _RULE.fullmatch(line):
            written += _simple_table(line, lines)
        else:
            written.append(_inline(line))
    return "\n".join(written)


def _block(lines: list[str]) -> list[str]:
    """Take the indented lines that come next."""
    taken = []
    while lines and (not lines[0] or lines[0].startswith(" ")):
        taken.append(lines.pop(0))
    text = inspect.cleandoc("\n".join(taken))
    return text.splitlines()


def _simple_table(rule: str, lines: list[str]) -> list[str]:
    """Take a table that has begun with this rule; the second rule ends its head, the third the table."""
    columns = [match.span() for match in re.finditer("=+", rule)]
    head, body = _until_rule(lines), _until_rule(lines)
    rows = [[_column(line, columns, place) for place in range(len(columns))] for line in (*head, *body)]
    return table(rows[0], rows[1:]).splitlines()


def _until_rule(lines: list[str]) -> list[str]:
    taken = []
    while not _RULE.fullmatch(line := lines.pop(0)):
        taken.append(line)
    return taken


def _column(line: str, columns: list[tuple[int, int]], place: int) -> str:
    begin, end = columns[place]
    return _inline(line[begin : end if place < len(columns) - 1 else None].strip())


def _inline(text: str) -> str:
    return _LITERAL.sub(r"`\1`", text)
