"""HTTP/2 without TLS in all three columns."""

import json

import pytest

from tests.integration.matrix.conftest import Caller, Column
from tests.integration.matrix.programs.ledger import Digest, content
from tests.integration.matrix.shadowing import CALLER

pytestmark = pytest.mark.root

_SIZE = 1_000_000


def test_requests(column: Column, caller: Caller) -> None:
    """Requests with a large body are answered by whom they should, who knows the caller."""
    cell = column.cell()
    sent = Digest()
    sent.add(content(_SIZE))
    words = ("--http2-prior-knowledge", "-H", f"x-cell: {cell}", "-w", "\n", "--data-binary", "@-")
    answer = json.loads(caller.curl(*words, f"http://{column.host}:8081/api/cart?q=1", stdin=content(_SIZE)))
    assert answer["from"] == column.answers
    assert (answer["method"], answer["path"]) == ("POST", "/api/cart?q=1")
    assert {"bytes": answer["bytes"], "sha256": answer["sha256"]} == sent.facts()
    assert f"URI={CALLER}" in answer["xfcc"]
    for copy in column.arrived(cell, "h2c"):
        assert (copy["path"], copy["sha256"]) == ("/api/cart?q=1", answer["sha256"])
        assert f"URI={CALLER}" in copy["xfcc"]


def test_large_answer(column: Column, caller: Caller) -> None:
    """A large answer arrives byte for byte."""
    cell = column.cell()
    answer = caller.curl(
        "--http2-prior-knowledge", "-i", "-H", f"x-cell: {cell}", f"http://{column.host}:8081/bytes/{_SIZE}"
    )
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/2 200")
    assert f"x-from: {column.answers}".encode() in head
    assert body[:_SIZE] == content(_SIZE)
    column.arrived(cell, "h2c")


def test_load(column: Column, caller: Caller) -> None:
    """Every stream of several busy connections is answered with success."""
    cell = column.cell()
    words = ("-n", "400", "-c", "4", "-m", "8", "-H", f"x-cell: {cell}")
    told = caller.run("h2load", *words, f"http://{column.host}:8081/load").decode()
    assert "400 succeeded, 0 failed, 0 errored" in told
    column.arrived(cell, "h2c", 400)
