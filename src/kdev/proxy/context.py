"""What every connection of the splice shares, and how one that speaks HTTP/2 is handed over."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from kdev.proxy.draining import Connections, Drainable
from kdev.proxy.interface import Current
from kdev.proxy.original_destination import Address, OriginalDestination

Dial = Callable[[Callable[[], asyncio.Protocol], Address], Coroutine[Any, Any, object]]
"""Connects a protocol to an address of the pod; raises OSError. The kernel's own limit on connecting applies."""


async def dial(factory: Callable[[], asyncio.Protocol], address: Address) -> None:
    """Connect to the application as the sidecar would have done."""
    host, port = address
    await asyncio.get_running_loop().create_connection(factory, host, port)


@dataclass(frozen=True, slots=True)
class Context:
    """What every connection shares.

    Attributes:
        original_destination: Where an accepted connection was going.
        current: Asked for each new request.
        dial: Connects to the pod.
        connections: A connection adds itself when it begins and discards itself when it has ended.
    """

    original_destination: OriginalDestination
    current: Current
    dial: Dial
    connections: Connections


@dataclass(frozen=True, slots=True)
class Handover:
    """A client's connection and the one to the pod, both open, at the moment when HTTP/2 was recognised.

    The connection that takes them sets its own protocols on both transports, adds itself to ``context.connections``
    and treats what was read as the first that it receives. Reading is paused on neither.

    Attributes:
        client: The client's transport.
        from_client: What the client has sent, beginning with the connection preface.
        pod: The transport to the application.
        from_pod: What the application has sent: nothing, or the beginning of its SETTINGS; the client has not seen it.
        address: The application's, for further connections.
    """

    client: asyncio.Transport
    from_client: bytes
    pod: asyncio.Transport
    from_pod: bytes
    address: Address
    context: Context


class Http2Factory(Protocol):
    """Makes the connection that goes on with HTTP/2; nobody has told it yet whether connections are drained."""

    def __call__(self, handover: Handover, /) -> Drainable:
        """Take the transports over."""
        ...
