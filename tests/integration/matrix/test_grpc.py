"""Every shape of gRPC call in all three columns."""

from dataclasses import dataclass
from typing import Any

import pytest

from tests.integration.matrix.conftest import Caller, Column
from tests.integration.matrix.programs.grpc_client import DOWN, MESSAGES
from tests.integration.matrix.shadowing import CALLER

pytestmark = pytest.mark.root


@dataclass(frozen=True)
class Calls:
    """What came of all shapes' calls, made on one channel."""

    column: Column
    cell: str
    seen: dict[str, dict[str, Any]]

    def signed(self, shape: str) -> dict[str, Any]:
        """What came of one, which bears the metadata of whom it should."""
        seen = self.seen[shape]
        assert (seen.get("from"), seen.get("end"), seen.get("raw")) == (*[self.column.answers] * 2, "0001ff"), seen
        assert f"URI={CALLER}" in seen["xfcc"]
        return seen

    def arrived(self, shape: str, kind: str) -> list[dict[str, Any]]:
        """What the local process got of it, with the caller's metadata and identity."""
        copies = self.column.arrived(f"{self.cell}-{shape}", kind)
        assert all(copy["raw"] == "00fe" and f"URI={CALLER}" in copy["xfcc"] for copy in copies)
        return copies


@pytest.fixture(scope="session")
def calls(column: Column, caller: Caller) -> Calls:
    """One run of the client."""
    cell = column.cell()
    return Calls(column, cell, caller.python("grpc_client", f"{column.host}:9090", cell))


def test_unary(calls: Calls) -> None:
    """A message and its answer, with metadata and trailers."""
    seen = calls.signed("unary")
    assert seen["answer"] == seen["sent"]
    assert all(copy["sha256"] == seen["sent"] for copy in calls.arrived("unary", "Unary"))


def test_failure(calls: Calls) -> None:
    """The status and text of a failed call are those of whom it went to."""
    seen = calls.signed("failing")
    assert (seen["code"], seen["details"]) == ("FAILED_PRECONDITION", f"refused by {calls.column.answers}")
    calls.arrived("failing", "Unary")


def test_server_streaming(calls: Calls) -> None:
    """Many answers arrive in order."""
    seen = calls.signed("down")
    assert seen["answers"] == [f"{calls.column.answers} {number} " for number in range(DOWN)]
    calls.arrived("down", "Down")


def test_client_streaming(calls: Calls) -> None:
    """Many messages arrive whole."""
    seen = calls.signed("up")
    assert seen["answer"] == str(sum(map(len, MESSAGES)))
    assert all(copy["count"] == len(MESSAGES) for copy in calls.arrived("up", "Up"))


def test_bidirectional_streaming(calls: Calls) -> None:
    """A conversation, of which each message waits for the answer to the one before, arrives whole on both sides."""
    seen = calls.signed("both")
    assert seen["answers"] == seen["sent"]
    for copy in calls.arrived("both", "Both"):
        assert (copy["count"], copy["sha256"]) == (len(MESSAGES), seen["sent"])


@pytest.mark.parametrize(("shape", "code"), [("cancel", "CANCELLED"), ("deadline", "DEADLINE_EXCEEDED")])
def test_ended_call(calls: Calls, shape: str, code: str) -> None:
    """A call that its caller or its deadline ends is ended where it is served, and at the copy."""
    seen = calls.seen[shape]
    assert seen == {"first": "wait", "code": code, "from": calls.column.answers}
    calls.arrived(shape, "Forever-ended")
    assert len(calls.column.served(f"{calls.cell}-{shape}", "Forever-ended")) == 1
