r"""The filter grammar: what stands after ``--filter``.

::

    filter  = term *( blanks term )             ; all must hold; several filters: one is enough
    term    = [ "!" ] key "=" glob              ; "!" holds where the term without it does not
    key     = "path" / "method" / "host" / "grpc" / "peer" / "port" / "query." NAME / "header." NAME
    glob    = 1*( BYTE / "*" / "?" )            ; any run of bytes (also "/"), any one byte

Quotes are a shell's: between ``'`` nothing is special, between ``"`` only ``\`` is, and a quoted wildcard is the
character itself. Outside of quotes ``\`` makes the next character an ordinary one. A glob matches a value as a
whole:

=============== ======================================================= ==========================
key             value                                                   case
=============== ======================================================= ==========================
path            without query, percent-encoding as sent                 matters
method                                                                  ignored
host            without port, unless the glob has one                   ignored
query.NAME      any occurrence, percent-encoding as sent                matters
header.NAME     any occurrence, without the blanks around it            of the name only: ignored
grpc            ``package.Service/Method``, of gRPC requests alone      matters
peer            the caller's identity, for example its SPIFFE ID        matters
port            the application's port: a number, no glob               does not apply
=============== ======================================================= ==========================

Examples: ``path=/api/* header.x-dev=alice``, ``!method=GET``, ``header.user-agent=*"Alice Smith"*``.
"""

from dataclasses import dataclass
from difflib import get_close_matches

from kdev.errors import UsageFailure
from kdev.policies.globs import Glob, Wildcard
from kdev.policies.impossible import broken_rule
from kdev.policies.tokens import is_token

KEYS = ("path", "method", "host", "query.NAME", "header.NAME", "grpc", "peer", "port")

MAX_FILTER_LENGTH = 4096
"""Characters. As much as a client may well send in one field, and no more work per request than that is."""

_BLANKS = " \t\n"
_NAMED = ("query", "header")


@dataclass(frozen=True, slots=True)
class Term:
    """One ``key=glob``.

    Attributes:
        text: As typed.
        key: ``query`` and ``header`` without the name.
        name: Of the query parameter, or of the header in lower case; else empty.
        place: Where it begins in its filter.
    """

    text: str
    key: str
    name: str
    glob: Glob
    negated: bool
    place: int


@dataclass(frozen=True, slots=True)
class Filter:
    """One ``--filter``: terms that must all hold."""

    text: str
    terms: tuple[Term, ...]


def parse(text: str) -> Filter:
    """Read one filter.

    Raises:
        UsageFailure: It is not one; the failure shows the place.
    """
    return _Reader(text).filter()


def wrong(text: str, place: int, cause: str, expected: str) -> UsageFailure:
    """Return the failure that shows ``text`` with a caret under ``place`` and says what was expected there."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return UsageFailure(
        "filter-syntax",
        cause,
        seen=f"{shown}\n{' ' * place}^ expected {expected}",
        advice="write filters as key=glob, for example --filter 'path=/api/* header.x-dev=alice'; "
        "'kdev explain --help' tells how to try one",
    )


class _Reader:
    """Reads one filter from left to right."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._place = 0

    def filter(self) -> Filter:
        self._check_text()
        terms = []
        self._skip_blanks()
        while self._next():
            terms.append(self._term())
            self._skip_blanks()
        if not terms:
            raise self._wrong(0, "The filter is empty", "key=glob")
        return Filter(self._text, tuple(terms))

    def _check_text(self) -> None:
        limit = MAX_FILTER_LENGTH
        if len(self._text) > limit:
            raise self._wrong(limit, "The filter is too long", f"the end, at most {limit} characters")
        try:
            self._text.encode()
        except UnicodeEncodeError as error:  # a command line may hold any bytes
            raise self._wrong(error.start, "The filter is not UTF-8", "UTF-8") from error

    def _term(self) -> Term:
        begin = self._place
        negated = self._next() == "!"
        self._place += negated
        key, name = self._key()
        value_place = self._place
        glob = self._glob()
        if rule := broken_rule(key, glob):
            raise self._wrong(value_place, rule.cause, rule.expected)
        return Term(self._text[begin : self._place], key, name, glob, negated, begin)

    def _key(self) -> tuple[str, str]:
        begin = self._place
        while self._next() not in ("=", "", *_BLANKS):
            self._place += 1
        written = self._text[begin : self._place]
        key, dot, name = written.partition(".")
        valid = (key in _NAMED) if dot else (key in KEYS)
        if not valid or (dot and not name):
            raise self._unknown_key(begin, written)
        if self._next() != "=":
            raise self._wrong(self._place, f"The filter's term '{written}' has no value", "'=' and a glob")
        if key == "header" and not is_token(name):
            raise self._wrong(begin + len("header."), f"'{name}' cannot be a header's name", "letters, digits and '-'")
        self._place += 1
        return key, name.lower() if key == "header" else name

    def _unknown_key(self, place: int, written: str) -> UsageFailure:
        keys = "one of " + ", ".join(KEYS)
        key = written.partition(".")[0]
        near = get_close_matches(written, KEYS, 1) or [
            known for known in KEYS if get_close_matches(key, [known.partition(".")[0]])
        ]
        if near:
            return self._wrong(place, f"The filter has an unknown key '{written}'", f"'{near[0]}'? Keys are {keys}")
        return self._wrong(place, f"The filter has an unknown key '{written}'", keys)

    def _glob(self) -> Glob:
        parts: list[int | Wildcard] = []
        begin = self._place
        while (character := self._next()) and character not in _BLANKS:
            self._place += 1
            match character:
                case "*" | "?":
                    parts.append(Wildcard(character))
                case "\\":
                    parts += self._escaped()
                case "'" | '"':
                    parts += self._quoted(character)
                case _:
                    parts += character.encode()
        if not parts:
            raise self._wrong(begin, "A filter's value is empty", "a glob; '*' for any value")
        return Glob(tuple(parts))

    def _quoted(self, quote: str) -> bytes:
        begin = self._place - 1
        value = b""
        while character := self._next():
            self._place += 1
            if character == quote:
                return value
            if character == "\\" and quote == '"':
                value += self._escaped()
            else:
                value += character.encode()
        raise self._wrong(begin, "A quote in the filter is not closed", f"a closing {quote}")

    def _escaped(self) -> bytes:
        character = self._next()
        if not character:
            raise self._wrong(self._place, "The filter ends with '\\'", "the character that is meant")
        self._place += 1
        return character.encode()

    def _next(self) -> str:
        return self._text[self._place : self._place + 1]

    def _skip_blanks(self) -> None:
        while self._next() and self._next() in _BLANKS:
            self._place += 1

    def _wrong(self, place: int, cause: str, expected: str) -> UsageFailure:
        return wrong(self._text, place, cause, expected)
