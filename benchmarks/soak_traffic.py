"""Traffic that is hard on connections: opened and closed at once, reset, half-closed, kept alive; run as the sidecar.

``python -m benchmarks.soak_traffic SECONDS`` in a pod's namespace. Every answer is compared with what was sent; the
last line is the account as JSON.
"""

import asyncio
import json
import random
import socket
import struct
import sys
import time
from collections import Counter

import uvloop

from tests.pod_namespace import POD_IP

HTTP, ECHO = 8080, 8082
WORKERS = 16
PATIENCE = 20.0
"""Seconds for an answer; only a lost one takes so long."""

_NO_LINGER = struct.pack("ii", 1, 0)
_BODY = 1024


async def opened_and_closed(_: random.Random) -> None:
    """Connect and leave without a word."""
    _, writer = await asyncio.open_connection(POD_IP, ECHO)
    writer.close()


async def written_and_closed(chance: random.Random) -> None:
    """Write and leave without waiting for the answer."""
    _, writer = await asyncio.open_connection(POD_IP, ECHO)
    writer.write(chance.randbytes(chance.randint(1, 5000)))
    writer.close()


async def reset(chance: random.Random) -> None:
    """Write and vanish."""
    _, writer = await asyncio.open_connection(POD_IP, ECHO)
    writer.write(chance.randbytes(chance.randint(1, 5000)))
    if chance.random() < 0.5:
        await writer.drain()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    writer.transport.abort()


async def half_closed(chance: random.Random) -> None:
    """Write, end that direction, and read the echo to its end."""
    loop = asyncio.get_running_loop()
    sent = chance.randbytes(chance.randint(1, 200_000))
    with socket.socket() as connection:
        connection.setblocking(False)
        await loop.sock_connect(connection, (POD_IP, ECHO))

        async def send() -> None:
            await loop.sock_sendall(connection, sent)
            connection.shutdown(socket.SHUT_WR)

        sending = asyncio.create_task(send())
        received = bytearray()
        while data := await loop.sock_recv(connection, 65536):
            received += data
        await sending
    if received != sent:
        raise AssertionError(f"{len(received)} of {len(sent)} bytes came back")


async def kept_alive(chance: random.Random) -> None:
    """Ask several times on one connection, for the local process and the pod in turn."""
    reader, writer = await asyncio.open_connection(POD_IP, HTTP)
    for _ in range(chance.randint(1, 12)):
        path, answer = chance.choice((("/api/x", b"local"), ("/x", b"pod")))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: soak\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(_BODY)
        if not head.startswith(b"HTTP/1.1 200") or not body.startswith(answer):
            raise AssertionError(f"{path}: {head[:40]!r} {body[:10]!r}")
    writer.close()


KINDS = (opened_and_closed, written_and_closed, reset, half_closed, kept_alive)


async def _work(seed: int, until: float, account: Counter[str]) -> None:
    chance = random.Random(seed)
    while time.monotonic() < until:
        kind = chance.choice(KINDS)
        try:
            async with asyncio.timeout(PATIENCE):
                await kind(chance)
        except (OSError, EOFError, AssertionError, TimeoutError) as error:
            account[f"{kind.__name__} failed: {type(error).__name__} {error}"[:120]] += 1
        else:
            account[kind.__name__] += 1


async def main(seconds: float) -> None:
    """Work until the time is over."""
    account: Counter[str] = Counter()
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        for seed in range(WORKERS):
            group.create_task(_work(seed, until, account))
    print(json.dumps(account))


if __name__ == "__main__":
    uvloop.run(main(float(sys.argv[1])))
