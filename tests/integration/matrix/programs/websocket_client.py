"""A WebSocket conversation from inside a pod; what was seen is printed as JSON.

Run as ``python -m tests.integration.matrix.programs.websocket_client URL CELL``.
"""

import asyncio
import json
import sys

import websockets

from tests.integration.matrix.programs.ledger import Digest, content

MESSAGES: list[str | bytes] = ["first", "grüße", b"", content(1000), content(500_000), "x" * 100_000, "last"]


async def main(url: str, cell: str) -> None:
    """Each message comes back before the next is sent."""
    sent, returned = Digest(), Digest()
    async with websockets.connect(url, additional_headers={"x-cell": cell}, max_size=None) as socket:
        hello = json.loads(await socket.recv())
        for message in MESSAGES:
            sent.add(_bytes(message))
            await socket.send(message)
            returned.add(_bytes(await socket.recv()))
        await (await socket.ping())
        await socket.close(4001, "enough")
    print(json.dumps({**hello, "sent": sent.facts(), "returned": returned.facts(), "code": socket.close_code}))


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
