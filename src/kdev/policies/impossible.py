"""Globs that no request could ever match: refused, because a filter that silently matches nothing is a riddle."""

from collections.abc import Callable
from dataclasses import dataclass

from kdev.policies.globs import Glob, Wildcard
from kdev.policies.tokens import is_token

_BLANKS = b" \t"
_CONTROLS = bytes({*range(32), 127} - {9})


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which a key's glob cannot match.

    Attributes:
        broken_by: Decides on a glob.
        cause: One sentence for the failure.
        expected: What would do.
    """

    broken_by: Callable[[Glob], bool]
    cause: str
    expected: str


def broken_rule(key: str, glob: Glob) -> Rule | None:
    """Return the first rule of this filter key that the glob breaks."""
    return next((rule for rule in (_ONE_LINE, *_RULES.get(key, ())) if rule.broken_by(glob)), None)


def _is_no_port(glob: Glob) -> bool:
    number = glob.literal() or b""
    return not (number.isdigit() and number[0] != ord("0") and len(number) <= 5 and int(number) < 65536)


def _is_no_token(glob: Glob) -> bool:
    return not all(isinstance(part, Wildcard) or is_token(chr(part)) for part in glob.parts)


def _is_no_path(glob: Glob) -> bool:
    return glob.parts[0] not in (ord("/"), *Wildcard)


def _has_blanks_around(glob: Glob) -> bool:
    return any(part in (*_BLANKS,) for part in (glob.parts[0], glob.parts[-1]))


def _begins_with_slash(glob: Glob) -> bool:
    return glob.parts[0] == ord("/")


def _has(some: bytes) -> Callable[[Glob], bool]:
    return lambda glob: any(byte in glob.parts for byte in some)


_ONE_LINE = Rule(_has(_CONTROLS), "No value holds a control character", "one line of text")
_RULES: dict[str, tuple[Rule, ...]] = {
    "port": (Rule(_is_no_port, "The filter's port is none", "a number from 1 to 65535"),),
    "method": (Rule(_is_no_token, "No HTTP method is written like that", "a name such as GET"),),
    "path": (
        Rule(_is_no_path, "No path is written like that", "'/' or a wildcard first"),
        Rule(_has(_BLANKS), "No path holds a blank", "%20 in its place, or the next term"),
        Rule(_has(b"?#"), "No path holds its query", "the path alone; a query's parts are query.NAME"),
    ),
    "query": (Rule(_has(_BLANKS + b"&#"), "No parameter's value is written like that", "it percent-encoded, as sent"),),
    "header": (Rule(_has_blanks_around, "No header's value has blanks around it", "it without them"),),
    "host": (Rule(_has(_BLANKS + b"/@"), "No host is written like that", "a name, or name:port"),),
    "grpc": (Rule(_begins_with_slash, "No gRPC method is written like that", "package.Service/Method"),),
}
