"""Calls that no code of kdev may make."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _calls(name: str) -> Iterator[str]:
    for folder in ("src", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == name:
                    yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_nobody_calls_write_eof() -> None:
    """Half-closing goes through ``kdev.tunnel.half_close``: uvloop's ``write_eof`` corrupts memory."""
    assert list(_calls("write_eof")) == []
