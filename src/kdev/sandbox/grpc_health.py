"""One call of grpc.health.v1.Health/Check over cleartext HTTP/2 (the gRPC health checking protocol)."""

import asyncio
from collections.abc import Iterable

import h2.config
import h2.connection
import h2.events

_SERVING = 1
_STATUS_NAMES = {0: "UNKNOWN", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_ANSWER_LIMIT = 1 << 10
"""Bytes of the answer's message, which is two bytes long."""


async def check_health(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, service: str) -> str:
    """Ask whether a service is healthy; empty when it is, else what was seen."""
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    connection.send_headers(1, _headers())
    connection.send_data(1, _frame(_request(service)), end_stream=True)
    body = b""
    trailers: dict[str, str] = {}
    while True:
        writer.write(connection.data_to_send())
        data = await reader.read(1 << 14)
        if not data:
            return "error: connection closed before the answer"
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                body += event.data or b""
            elif isinstance(event, h2.events.ResponseReceived | h2.events.TrailersReceived):
                trailers.update(_texts(event.headers or ()))
            elif isinstance(event, h2.events.StreamEnded):
                return _outcome(body, trailers)
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                return f"error: stream ended with code {event.error_code}"
        if len(body) > _ANSWER_LIMIT:
            return "error: the answer is too long"


def _texts(headers: Iterable[tuple[str | bytes, str | bytes]]) -> dict[str, str]:
    """What h2 types as bytes and, told an encoding, gives as text."""
    return {str(name): str(value) for name, value in headers}


def _headers() -> list[tuple[str, str]]:
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/grpc.health.v1.Health/Check"),
        (":authority", "localhost"),
        ("content-type", "application/grpc"),
        ("user-agent", "kube-probe/1.34 grpc-go"),
        ("te", "trailers"),
    ]


def _request(service: str) -> bytes:
    """HealthCheckRequest: field 1 is the service's name; service names are shorter than 128 bytes."""
    name = service.encode()[:127]
    return bytes([0x0A, len(name)]) + name if name else b""


def _frame(message: bytes) -> bytes:
    return b"\0" + len(message).to_bytes(4, "big") + message


def _outcome(body: bytes, trailers: dict[str, str]) -> str:
    status = trailers.get("grpc-status", "")
    if status != "0":
        return f"error: rpc failed with status {status or 'missing'}"
    # HealthCheckResponse: field 1 is an enum below 128; a zero is left out.
    state = body[6] if len(body) >= 7 and body[5] == 0x08 else 0
    return "" if state == _SERVING else f"service unhealthy (responded with {_STATUS_NAMES.get(state, state)})"
