"""The page about errors: every failure that the source can raise, read from the calls that make them."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import kdev
from docs.writers.markdown import table
from kdev import errors
from kdev.errors import ExitCode, Failure

_CLASSES: dict[str, type[Failure]] = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, Failure) and value is not Failure
}
_CODES = {ExitCode.OK: "it worked", ExitCode.CHILD: "the local process ended with exit code 1; kdev returns its code"}

_INTRODUCTION = """\
# Errors and exit codes
An error is told on stderr: one sentence of cause, what was seen, what to do next, and a reference in brackets.
References and exit codes stay the same between versions. What stands in braces is filled in when it happens.
"""
_CHILD = """\
A local process that `kdev shadow` started gives kdev its own exit code, whatever it is; for one that a signal ended
that is 128 and the signal's number.
"""


@dataclass(frozen=True, order=True)
class Told:
    """One failure as the source makes it; what is only known when it happens stands in braces."""

    exit_code: ExitCode
    reference: str
    cause: str
    advice: str


def page() -> str:
    """The page's text."""
    told = sorted(set(collect(Path(kdev.__file__).parent)))
    parts = [
        _INTRODUCTION,
        table(("exit code", "meaning"), [(str(int(code)), _meaning(code)) for code in ExitCode]),
        _CHILD,
    ]
    for code in sorted({one.exit_code for one in told}):
        rows = [(f"`{one.reference}`", one.cause, one.advice) for one in told if one.exit_code is code]
        parts.append(f"## Exit code {int(code)}: {_meaning(code)}\n" + table(("reference", "cause", "next"), rows))
    return "\n".join(parts)


def _meaning(code: ExitCode) -> str:
    if code in _CODES:
        return _CODES[code]
    (failure,) = (one for one in _CLASSES.values() if one.exit_code is code)
    text = " ".join((failure.__doc__ or "").split()).rstrip(".")
    return text[0].lower() + text[1:]


def collect(package: Path) -> Iterator[Told]:
    """All failures that a package's source makes with a reference of their own."""
    for file in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield from _told(node)


def _told(call: ast.Call) -> Iterator[Told]:
    """The failures of one call: none when it makes none, or passes on one that was made elsewhere."""
    name = call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    if name in _CLASSES and "advice" in named:
        code, reference, cause = _CLASSES[name].exit_code, call.args[0], call.args[1]
    elif name == "Refusal" and "reference" in named:  # the laptop raises an agent's refusal as this class
        code, reference, cause = ExitCode.AGENT, named["reference"], named["cause"]
    else:
        return
    for literal in _choices(reference):
        yield Told(code, literal, _text(cause), _text(named["advice"]))


def _choices(node: ast.expr) -> list[str]:
    """The literals that an expression chooses from; none when it passes on a value."""
    match node:
        case ast.Constant(value=str(text)):
            return [text]
        case ast.IfExp(body=body, orelse=other):
            return _choices(body) + _choices(other)
        case _:
            return []


def _text(node: ast.expr) -> str:
    """An expression as a template."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(map(_text, values))
        case ast.FormattedValue(value=part) | ast.Call(func=ast.Attribute(value=ast.JoinedStr() as part)):
            return _text(part)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _text(left) + _text(right)
        case ast.IfExp(body=body, orelse=other):
            return " or: ".join(text for text in (_text(body), _text(other)) if text)
        case _:
            return "{" + _name(node) + "}"


def _name(node: ast.expr) -> str:
    """What to call a value of which only its expression is known."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.strip("_").lower().replace("_", " ")
        case ast.Call(func=ast.Name(id="int" | "str" | "type" | "len"), args=[value]):
            return _name(value)
        case ast.Call(func=function):
            return _name(function)
        case _:
            return "..."
