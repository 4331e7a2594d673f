"""Bare TCP from inside a pod: what the server said is printed as JSON.

Run as ``python -m tests.integration.matrix.programs.raw_client client-first|server-first HOST PORT CELL``.
"""

import json
import socket
import sys
from typing import Any

from tests.integration.matrix.programs.ledger import Digest, content

SIZE = 700_000
"""Below what a copy may lag behind its original (``proxy.mirroring.MAX_BUFFERED``): more may be dropped."""

LINES = ("hello", "once more")
PATIENCE = 20.0


def client_first(connection: socket.socket, cell: str) -> dict[str, Any]:
    """A line, a large payload, the end of this direction; then the answer."""
    sent = Digest()
    with connection.makefile("rwb") as stream:
        stream.write(f"{cell}\n".encode())
        stream.flush()
        hello = stream.readline().decode().strip()
        sent.add(content(SIZE))
        stream.write(content(SIZE))
        stream.flush()
        connection.shutdown(socket.SHUT_WR)
        return {"hello": hello, "sent": sent.facts(), "answer": json.loads(stream.read())}


def server_first(connection: socket.socket, cell: str) -> dict[str, Any]:
    """Nothing is said before the greeting has come."""
    with connection.makefile("rwb") as stream:
        said = [stream.readline()]
        for line in (cell, *LINES, "quit"):
            stream.write(f"{line}\r\n".encode())
            stream.flush()
            said.append(stream.readline())
        return {"said": [line.decode().strip() for line in said], "rest": stream.read().decode()}


if __name__ == "__main__":
    talk = {"client-first": client_first, "server-first": server_first}[sys.argv[1]]
    with socket.create_connection((sys.argv[2], int(sys.argv[3])), PATIENCE) as dialled:
        print(json.dumps(talk(dialled, sys.argv[4])))
