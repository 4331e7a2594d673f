"""The table of what a run of the matrix has shown: one row for each protocol, one column for each way of shadowing."""

from collections.abc import Mapping

ROWS = {
    "HTTP/1.1 (curl, h2load)": ("test_http1.test_requests", "test_http1.test_large_answer", "test_http1.test_load"),
    "HTTP/1.1 chunked upload of 100 MB (curl)": ("test_http1.test_upload",),
    "Server-sent events (curl)": ("test_http1.test_events",),
    "WebSocket (websockets)": ("test_http1.test_websocket",),
    "HTTP/2 without TLS (curl, h2load)": (
        "test_http2.test_requests",
        "test_http2.test_large_answer",
        "test_http2.test_load",
    ),
    "gRPC unary (grpcio)": ("test_grpc.test_unary",),
    "gRPC status, metadata and trailers": ("test_grpc.test_failure",),
    "gRPC server streaming": ("test_grpc.test_server_streaming",),
    "gRPC client streaming": ("test_grpc.test_client_streaming",),
    "gRPC bidirectional streaming": ("test_grpc.test_bidirectional_streaming",),
    "gRPC cancellation": ("test_grpc.test_ended_call.cancel",),
    "gRPC deadline": ("test_grpc.test_ended_call.deadline",),
    "TCP, the client speaks first": ("test_raw.test_client_speaks_first",),
    "TCP, the server speaks first": ("test_raw.test_server_speaks_first",),
    "A plaintext client": ("test_strict.test_plaintext_is_refused",),
    "A health probe": ("test_strict.test_probes_stay_on_the_pod",),
}
"""Each row, and the tests that all have to pass for it."""

_SHOWN = {
    "unmatched": "pod answers",
    "mirror": "pod answers, copy arrives whole",
    "steal": "local process answers",
}
_SHOWN_ALIKE = {"A plaintext client": "refused", "A health probe": "stays on the pod"}

_HEAD = """# Protocols and modes

What `kdev shadow` does with each protocol, shown by real clients through Envoy sidecars in STRICT mTLS: client,
its sidecar, the target's sidecar, tap, agent, and then the application or the local process. "Unmatched" is a request
that no filter of a stealing session matches. Where there are headers, the caller's identity
(`x-forwarded-client-cert`) reaches both the application and the local process.

This page is written by the tests:
`KDEV_MATRIX_TABLE=docs/reference/matrix.md .venv/bin/pytest tests/integration/matrix`.

A copy never holds its original up. One that lags more than 1 MiB behind is dropped and counted; the upload of
100 MB is therefore sent as fast as its copy is read.
"""


def key(node: str) -> tuple[str, str]:
    """A test's name in ``ROWS`` and its column, from its node: ``…/test_raw.py::test_x[steal]``; else both empty."""
    path, _, rest = node.partition("::")
    function, _, parameters = rest.rstrip("]").partition("[")
    column, _, more = parameters.partition("-")
    module = path.rpartition("/")[2].removesuffix(".py")
    name = ".".join(filter(None, (module, function, more.partition("-")[0])))
    return (name, column) if column in _SHOWN else ("", "")


def render(passed: Mapping[tuple[str, str], bool]) -> str:
    """The page.

    Args:
        passed: By ``key``, whether the test has passed.

    Raises:
        KeyError: Not every test was run.
    """
    lines = [_HEAD, f"| | {' | '.join(_SHOWN)} |", "|---" * (len(_SHOWN) + 1) + "|"]
    for row, tests in ROWS.items():
        cells = []
        for column, shown in _SHOWN.items():
            whole = all(passed[test, column] for test in tests)
            cells.append(_SHOWN_ALIKE.get(row, shown) if whole else "**fails**")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])
