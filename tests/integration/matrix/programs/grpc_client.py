"""Every shape of gRPC call on one channel, from inside a pod; what came of each is printed as JSON.

Run as ``python -m tests.integration.matrix.programs.grpc_client ADDRESS CELL``.
"""

import hashlib
import json
import queue
import sys
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from tests.integration.matrix.programs.grpc_service import SERVICE

PATIENCE = 20.0
MESSAGES = [bytes([number]) * 3000 for number in range(200)]
DOWN = 50


def main(address: str, cell: str) -> None:
    """Make the calls."""
    with grpc.insecure_channel(address) as channel:
        calls = _Calls(channel, cell)
        shapes = (calls.unary, calls.failing, calls.down, calls.up, calls.both, calls.cancel, calls.deadline)
        print(json.dumps({shape.__name__: _outcome(shape) for shape in shapes}))


def _outcome(shape: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return shape()
    except grpc.RpcError as error:
        return {"error": str(error)}


class _Calls:
    def __init__(self, channel: grpc.Channel, cell: str) -> None:
        self._channel = channel
        self._cell = cell

    def unary(self) -> dict[str, Any]:
        message = bytes(range(256)) * 100
        answer, call = self._method("unary_unary", "Unary").with_call(message, **self._options("unary"))
        return {"answer": _sha256(answer), "sent": _sha256(message), **_metadata(call)}

    def failing(self) -> dict[str, Any]:
        try:
            self._method("unary_unary", "Unary")(b"fail", **self._options("failing"))
        except grpc.RpcError as error:
            return {"code": error.code().name, "details": error.details(), **_metadata(error)}
        return {}

    def down(self) -> dict[str, Any]:
        call = self._method("unary_stream", "Down")(str(DOWN).encode(), **self._options("down"))
        answers = [message.partition(b"\0")[0].decode() for message in call]
        return {"answers": answers, **_metadata(call)}

    def up(self) -> dict[str, Any]:
        answer, call = self._method("stream_unary", "Up").with_call(iter(MESSAGES), **self._options("up"))
        return {"answer": answer.decode(), **_metadata(call)}

    def both(self) -> dict[str, Any]:
        """The next message is sent when the one before has come back."""
        returned: queue.SimpleQueue[bytes] = queue.SimpleQueue()

        def conversation() -> Iterator[bytes]:
            for message in MESSAGES:
                yield message
                returned.get(timeout=PATIENCE)

        call = self._method("stream_stream", "Both")(conversation(), **self._options("both"))
        answers = []
        for answer in call:
            answers.append(answer)
            returned.put(answer)
        return {"answers": _sha256(b"".join(answers)), "sent": _sha256(b"".join(MESSAGES)), **_metadata(call)}

    def cancel(self) -> dict[str, Any]:
        call = self._method("unary_stream", "Forever")(b"wait", **self._options("cancel"))
        first = next(call).decode()
        initial = dict(call.initial_metadata())
        call.cancel()
        return {"first": first, "code": call.code().name, "from": initial["x-from"]}

    def deadline(self) -> dict[str, Any]:
        options = {**self._options("deadline"), "timeout": 1.0}
        call = self._method("unary_stream", "Forever")(b"wait", **options)
        first = next(call).decode()
        initial = dict(call.initial_metadata())
        try:
            next(call)
        except grpc.RpcError as error:
            return {"first": first, "code": error.code().name, "from": initial["x-from"]}
        return {}

    def _method(self, shape: str, name: str) -> Any:
        return getattr(self._channel, shape)(f"/{SERVICE}/{name}")

    def _options(self, shape: str) -> dict[str, Any]:
        sent = (("x-cell", f"{self._cell}-{shape}"), ("x-raw-bin", b"\0\xfe"))
        return {"metadata": sent, "timeout": PATIENCE, "wait_for_ready": False}


def _metadata(call: Any) -> dict[str, str]:
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    return {
        "from": initial.get("x-from", ""),
        "xfcc": initial.get("x-xfcc", ""),
        "end": trailing.get("x-end", ""),
        "raw": trailing.get("x-raw-bin", b"").hex(),
    }


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
