"""Bare TCP in all three columns; it is shadowed by the connection."""

import pytest

from tests.integration.matrix.conftest import Caller, Column
from tests.integration.matrix.programs.raw_client import LINES

pytestmark = pytest.mark.root


def test_client_speaks_first(column: Column, caller: Caller) -> None:
    """A conversation with a large payload and a half-closed end arrives whole."""
    cell = column.cell()
    seen = caller.python("raw_client", "client-first", column.host, "7000", cell)
    assert seen["hello"] == f"hello from {column.answers}"
    assert seen["answer"] == {"from": column.answers, **seen["sent"]}
    for copy in column.arrived(cell, "raw"):
        assert {"bytes": copy["bytes"], "sha256": copy["sha256"]} == seen["sent"]


def test_server_speaks_first(column: Column, caller: Caller) -> None:
    """The greeting is that of whom the connection belongs to, and so is everything after it."""
    cell = column.cell()
    seen = caller.python("raw_client", "server-first", column.host, "7001", cell)
    name = column.answers
    lines = [f"250 {name} {line}" for line in (cell, *LINES)]
    assert seen == {"said": [f"220 {name} ready", *lines, f"221 {name} bye"], "rest": ""}
    for copy in column.arrived(cell, "greeted"):
        assert (copy["lines"], copy["orderly"]) == ([cell, *LINES], True)
