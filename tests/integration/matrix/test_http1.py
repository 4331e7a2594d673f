"""HTTP/1.1 in all three columns: answers, large and streamed bodies, events, upgrades."""

import hashlib
import json

import pytest

from tests.integration.matrix.conftest import Caller, Column
from tests.integration.matrix.programs.http1 import EVENTS
from tests.integration.matrix.programs.ledger import Digest, content
from tests.integration.matrix.programs.websocket_client import MESSAGES
from tests.integration.matrix.shadowing import CALLER

pytestmark = pytest.mark.root

UPLOAD = 100_000_000
_PART = 800_000
"""Below what a copy may lag behind its original (``proxy.mirroring.MAX_BUFFERED``)."""


def test_requests(column: Column, caller: Caller) -> None:
    """Small requests on one connection are answered whole by whom they should, who knows the caller."""
    cell = column.cell()
    urls = [f"http://{column.host}:8080/api/{number}?q=%20a" for number in range(5)]
    answers = caller.curl("-H", f"x-cell: {cell}", "-w", "\n", "-d", "a=b", *urls).splitlines()
    for number, answer in enumerate(map(json.loads, answers)):
        assert answer["from"] == column.answers
        assert (answer["method"], answer["path"], answer["bytes"]) == ("POST", f"/api/{number}?q=%20a", 3)
        assert f"URI={CALLER}" in answer["xfcc"]
    copies = column.arrived(cell, "http", 5)
    assert [copy["path"] for copy in copies] == ([f"/api/{number}?q=%20a" for number in range(5)] if copies else [])
    assert all(f"URI={CALLER}" in copy["xfcc"] and copy["bytes"] == 3 for copy in copies)


def test_large_answer(column: Column, caller: Caller) -> None:
    """A large answer arrives byte for byte."""
    cell = column.cell()
    answer = caller.curl("-i", "-H", f"x-cell: {cell}", f"http://{column.host}:8080/bytes/3000000")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert f"x-from: {column.answers}".encode() in head
    assert body == content(3_000_000)
    column.arrived(cell, "http")


def test_load(column: Column, caller: Caller) -> None:
    """Every request of a load on several connections is answered with success."""
    cell = column.cell()
    told = caller.run(
        "h2load", "--h1", "-n", "400", "-c", "8", "-H", f"x-cell: {cell}", f"http://{column.host}:8080/load"
    ).decode()
    assert "400 succeeded, 0 failed, 0 errored" in told
    column.arrived(cell, "http", 400)


def test_upload(column: Column, caller: Caller) -> None:
    """A chunked upload of 100 MB arrives whole, also as a copy.

    A copy never holds its original up and is cut when it lags behind, so this upload waits for the copy.
    """
    cell = column.cell()
    body = content(UPLOAD)
    words = ("-T", "-", "-H", f"x-cell: {cell}", "-H", "transfer-encoding: chunked")
    with caller.begin("curl", "-sS", "--fail", "-m", "60", *words, f"http://{column.host}:8080/upload") as upload:
        assert upload.stdin is not None
        assert upload.stdout is not None
        try:
            for begin in range(0, UPLOAD, _PART):
                upload.stdin.write(body[begin : begin + _PART])
                upload.stdin.flush()
                if column.name == "mirror":
                    column.ledgers.await_arrived(cell, min(begin + _PART, UPLOAD))
            upload.stdin.close()
            answer = json.loads(upload.stdout.read())
        finally:
            upload.kill()
    expected = (UPLOAD, hashlib.sha256(body).hexdigest())
    assert (answer["from"], answer["chunked"]) == (column.answers, "chunked")
    assert (answer["bytes"], answer["sha256"]) == expected
    assert all((copy["bytes"], copy["sha256"]) == expected for copy in column.arrived(cell, "http"))


def test_events(column: Column, caller: Caller) -> None:
    """Server-sent events arrive one by one while the answer lasts."""
    cell = column.cell()
    with caller.begin(
        "curl", "-sSN", "-m", "60", "-H", f"x-cell: {cell}", f"http://{column.host}:8080/events"
    ) as events:
        assert events.stdout is not None
        try:
            first = [events.stdout.readline() for _ in range(3)]
            assert first == [b"id: 0\n", f"data: {column.answers}\n".encode(), b"\n"]
            released = json.loads(caller.curl("-H", f"x-cell: {cell}-release", f"http://{column.host}:8080/release"))
            assert released["from"] == column.answers
            rest = events.stdout.read().decode()
        finally:
            events.kill()
    assert rest == "".join(f"id: {number}\ndata: {column.answers}\n\n" for number in range(1, EVENTS))
    assert all(f"URI={CALLER}" in copy["xfcc"] for copy in column.arrived(cell, "events"))
    column.arrived(cell, "events-sent")


def test_websocket(column: Column, caller: Caller) -> None:
    """A WebSocket conversation keeps its messages and its closing code; a copy holds all that the client said."""
    cell = column.cell()
    seen = caller.python("websocket_client", f"ws://{column.host}:8080/socket", cell)
    assert seen["from"] == column.answers
    assert f"URI={CALLER}" in seen["xfcc"]
    assert seen["returned"] == seen["sent"]
    (served,) = column.served(cell, "websocket")
    assert served["code"] == 4001
    sent = Digest()
    for message in MESSAGES:
        sent.add(message.encode() if isinstance(message, str) else message)
    for copy in column.arrived(cell, "websocket"):
        assert (copy["count"], copy["bytes"], copy["code"]) == (len(MESSAGES), sent.bytes, 4001)
        assert copy["sha256"] == sent.facts()["sha256"]
        assert f"URI={CALLER}" in copy["xfcc"]
