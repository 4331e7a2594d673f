"""What a speaker says over bare TCP: one protocol in which the client begins, and one in which the server does."""

import asyncio
import json

from tests.integration.matrix.programs.ledger import Digest, Ledger

_PIECE = 64 * 1024


class Raw:
    """Both protocols; a connection begins with a line that names its cell."""

    def __init__(self, name: str, ledger: Ledger) -> None:
        self._name = name
        self._ledger = ledger

    async def client_first(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A line for a line; then, when the client has ended its direction, what came."""
        cell = (await reader.readline()).decode().strip()
        digest = Digest()
        if cell:
            writer.write(f"hello from {self._name}\n".encode())
        while piece := await reader.read(_PIECE):
            digest.add(piece)
        await self._ledger.add(cell, "raw", **digest.facts())
        writer.write(json.dumps({"from": self._name, **digest.facts()}).encode())
        writer.close()

    async def server_first(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A greeting, a line for each line, and an end at ``quit``."""
        writer.write(f"220 {self._name} ready\r\n".encode())
        lines = []
        while (line := (await reader.readline()).decode().strip()) and line != "quit":
            lines.append(line)
            writer.write(f"250 {self._name} {line}\r\n".encode())
        cell = lines[0] if lines else ""
        await self._ledger.add(cell, "greeted", lines=lines, orderly=line == "quit")
        writer.write(f"221 {self._name} bye\r\n".encode())
        writer.close()
