"""Carrying out one health check, from the node's network as a kubelet does."""

import asyncio
import socket
import ssl
from contextlib import suppress

from kdev.sandbox.grpc_health import check_health
from kdev.sandbox.namespaces import Namespace
from kdev.sandbox.probes import Grpc, HttpGet, TcpSocket

USER_AGENT = "kube-probe/1.34"

_HEAD_LIMIT = 16 << 10
"""Bytes of an answer's head; the body is not read."""


async def check(node: Namespace, pod_ip: str, what: HttpGet | TcpSocket | Grpc) -> str:
    """Ask once; empty when healthy, else what was seen, in a kubelet's words.

    The caller bounds the time.
    """
    host = "" if isinstance(what, Grpc) else what.host
    try:
        reader, writer = await _connect(node, host or pod_ip, what)
    except OSError as error:
        return f"dial tcp {host or pod_ip}:{what.port}: {error.strerror or error}"
    try:
        match what:
            case HttpGet():
                return await _get(reader, writer, host or pod_ip, what)
            case Grpc():
                return await check_health(reader, writer, what.service)
            case TcpSocket():
                return ""
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        return f"{type(error).__name__}: {error}"
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


async def _connect(
    node: Namespace, address: str, what: HttpGet | TcpSocket | Grpc
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connection = node.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        await asyncio.get_running_loop().sock_connect(connection, (address, what.port))
        secure = isinstance(what, HttpGet) and what.scheme == "HTTPS"
        return await asyncio.open_connection(
            sock=connection,
            limit=_HEAD_LIMIT,
            ssl=_unverified() if secure else None,
            server_hostname="" if secure else None,
        )
    except BaseException:
        connection.close()
        raise


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, what: HttpGet) -> str:
    given = {name.lower() for name, _ in what.headers}
    defaults = (("Host", f"{host}:{what.port}"), ("User-Agent", USER_AGENT), ("Accept", "*/*"))
    headers = [pair for pair in defaults if pair[0].lower() not in given]
    lines = [f"{name}: {value}" for name, value in (*headers, *what.headers, ("Connection", "close"))]
    writer.write("\r\n".join([f"GET {what.path} HTTP/1.1", *lines, "", ""]).encode())
    status_line = await reader.readuntil(b"\n")
    words = status_line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return f"malformed HTTP response {status_line[:64]!r}"
    code = int(words[1])
    return "" if 200 <= code < 400 else f"HTTP probe failed with statuscode: {code}"


def _unverified() -> ssl.SSLContext:
    """A kubelet does not verify what a probed pod shows."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
