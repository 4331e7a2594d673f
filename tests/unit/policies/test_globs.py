"""Globs: what they match, and that none can be made slow."""

import re
import re._constants as opcodes  # the engine's own view of a pattern: there is no public one
import re._parser as sre_parser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kdev.policies.globs import Glob, Wildcard
from tests.unit.policies.naive import naive_match


def glob(text: bytes) -> Glob:
    """A glob in which only ``*`` and ``?`` are special."""
    return Glob(tuple(Wildcard(chr(byte)) if byte in b"*?" else byte for byte in text))


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        (b"/api/*", b"/api/", True),
        (b"/api/*", b"/api/a/b", True),
        (b"/api/*", b"/api", False),
        (b"*", b"", True),
        (b"?", b"", False),
        (b"a*a", b"a", False),
        (b"*ab*ab", b"xab", False),
        (b"a?c", b"a\nc", True),
        (b"[a-z]+.", b"[a-z]+.", True),
        (b"[a-z]+.", b"b.", False),
    ],
)
def test_a_glob_matches_the_whole_value(pattern: bytes, value: bytes, expected: bool) -> None:
    """A glob matches a value from begin to end, and only wildcards are special."""
    assert bool(glob(pattern).compile().fullmatch(value)) is expected


@given(st.text("ab*?", max_size=10), st.text("ab", max_size=14))
def test_the_compiled_form_decides_like_the_textbook(pattern: str, value: str) -> None:
    """Stopping each run at its leftmost end loses no match."""
    compiled = glob(pattern.encode()).compile()
    assert bool(compiled.fullmatch(value.encode())) is naive_match(pattern.encode(), value.encode())


def test_case_is_ignored_on_demand() -> None:
    """Only an expression made for it takes ``A`` for ``a``."""
    assert glob(b"Checkout*").compile(ignore_case=True).fullmatch(b"cHECKOUT.staging")
    assert not glob(b"Checkout*").compile().fullmatch(b"checkout")


def repetitions_that_backtrack(pattern: Any) -> list[str]:
    """The repetitions in a parsed expression that the engine may come back to after they have ended."""
    found = []
    for opcode, argument in pattern:
        if opcode in (opcodes.MAX_REPEAT, opcodes.MIN_REPEAT, opcodes.BRANCH):
            found.append(str(opcode))
        elif opcode is opcodes.ATOMIC_GROUP:
            # Inside, one repetition may look for its end; once found, the group is never entered again.
            inner = [operation for operation, _ in argument]
            if inner.count(opcodes.MIN_REPEAT) > 1 or opcodes.MAX_REPEAT in inner:
                found.append("ATOMIC_GROUP")
    return found


@given(st.binary(max_size=40).map(lambda text: glob(b"*".join(bytes([byte]) for byte in text))))
def test_no_glob_backtracks(pattern: Glob) -> None:
    """Every repetition of a compiled glob is possessive or searches once inside an atomic group."""
    assert repetitions_that_backtrack(sre_parser.parse(pattern.compile().pattern, re.DOTALL)) == []


def test_the_check_for_backtracking_finds_it() -> None:
    """The plain translation of a glob fails the check above."""
    assert repetitions_that_backtrack(sre_parser.parse(rb"a.*a.*b")) == ["MAX_REPEAT", "MAX_REPEAT"]


def test_a_hostile_glob_ends() -> None:
    """Sixty runs over 20,000 equal bytes are decided, where backtracking would need more than a lifetime."""
    assert not glob(b"*a" * 60 + b"*b?").compile().fullmatch(b"a" * 20_000)


def test_a_glob_knows_its_literal() -> None:
    """Only a glob without wildcards stands for one value."""
    assert glob(b"8080").literal() == b"8080"
    assert glob(b"80?0").literal() is None
