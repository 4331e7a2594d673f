"""One session for each pod: the agent that holds the claim names its owner to the ones that come later.

The claim is an abstract Unix socket. Its name belongs to the pod's network namespace, which all the pod's
containers share, and the kernel gives it back when the agent ends, however it ends.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator

from kdev.errors import AgentFailure

_NAME = "\0kdev-agent"
_OWNER_MAX = 256  # bytes; an owner is a user name and a host name
_ANSWERS_WITHIN = 1.0  # seconds; the holder answers from its event loop, over a local socket


@contextlib.asynccontextmanager
async def claim(owner: str) -> AsyncIterator[None]:
    """Hold the pod's claim.

    Raises:
        AgentFailure: Another session has it; its owner is named.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        try:
            listener.bind(_NAME)
        except OSError as error:
            raise AgentFailure(
                "pod-already-shadowed",
                f"Another session shadows this pod: {await _ask_holder()}",
                seen=str(error),
                advice="ask its owner to end it, or shadow another pod of the workload",
            ) from error
        server = await asyncio.start_unix_server(lambda _, writer: _tell(owner, writer), sock=listener)
        async with server:
            yield


async def _tell(owner: str, writer: asyncio.StreamWriter) -> None:
    writer.write(owner.encode()[:_OWNER_MAX])
    writer.close()


async def _ask_holder() -> str:
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as question:
        question.setblocking(False)
        try:
            async with asyncio.timeout(_ANSWERS_WITHIN):
                await loop.sock_connect(question, _NAME)
                answer = await loop.sock_recv(question, _OWNER_MAX)
        except (OSError, TimeoutError):
            return "its agent does not answer"
    return answer.decode(errors="replace")
