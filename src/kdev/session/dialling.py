"""Connecting to the developer's process, which listens on this machine's loopback."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

ProtocolT = TypeVar("ProtocolT", bound=asyncio.BaseProtocol)

DIAL_TIMEOUT = 10.0
"""Seconds. Loopback answers at once, with a connection or a refusal, except where the process accepts no more and its
backlog is full; a request that waits longer than this for a connection is better served by the pod."""

_LOOPBACK = ("127.0.0.1", "::1")


async def dial_local(port: int, protocol: Callable[[], ProtocolT]) -> ProtocolT:
    """Connect to a local port: by IPv4 first, then by IPv6, for servers that bind only one of them.

    Raises:
        OSError: Neither was accepted; in time, that is a ``TimeoutError``.
    """
    loop = asyncio.get_running_loop()
    failure: OSError | None = None
    for address in _LOOPBACK:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                _, connected = await loop.create_connection(protocol, address, port)
        except OSError as error:
            failure = failure or error
        else:
            return connected
    assert failure is not None
    raise failure
