"""A connection of kdev's own at the edge: the transport under an ``OriginConnection``."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol, cast

from kdev.proxy.flow import Gate
from kdev.proxy.http2.frames import Http2Error
from kdev.proxy.http2.origin import OriginConnection
from kdev.proxy.interface import Shadowing, Upstream

WRITE_BUFFER: Final = 256 * 1024
"""Bytes handed to a transport before DATA waits in its stream, where a reset can still take it back."""

FLOOD_LIMIT: Final = 4 * 1024 * 1024
"""Bytes in the transport that only acknowledgements can add up to: a server that sends PINGs and does not read."""


class LinkOwner(Protocol):
    """Who is told what becomes of a link."""

    def progressed(self) -> None:
        """Something was received: there may be something to write, anywhere."""

    def link_lost(self, link: "OriginLink", delivered: int | None, cause: str, /) -> None:
        """The link is gone, or never came to be; as ``StolenStreams.origin_lost``."""


class OriginLink(Upstream):
    """Moves the bytes of one ``OriginConnection``.

    Attributes:
        origin: The connection without I/O.
        session: Whose process it leads to; None if it leads to the pod.
        gate: Shut while the client cannot take more.
    """

    def __init__(self, owner: LinkOwner, origin: OriginConnection, session: Shadowing | None) -> None:
        self.origin = origin
        self.session = session
        self.gate: Gate | None = None
        self._owner = owner
        self._server = "the pod" if session is None else "the local process"
        self._transport: asyncio.Transport | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._lost = False
        self._fault = ""

    def dial(self, connecting: Coroutine[Any, Any, object]) -> None:
        """Begin with a connection that has yet to be made; ``connecting`` makes it, with this as its protocol."""
        self._dialling = asyncio.get_running_loop().create_task(self._dial(connecting))

    async def _dial(self, connecting: Coroutine[Any, Any, object]) -> None:
        try:
            await connecting
        except OSError as error:
            self.connection_lost(error)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Write what has waited."""
        if self._transport is None:
            self._transport = cast("asyncio.Transport", transport)
            self._transport.set_write_buffer_limits(high=WRITE_BUFFER)
            self.gate = Gate(self._transport)
            self.flush()

    def data_received(self, data: bytes) -> None:
        """Pass on; a server that breaks the protocol loses its connection, and nobody else's."""
        try:
            self.origin.receive(data)
        except Http2Error as error:
            self._fault = str(error)
            self.close()
        self._owner.progressed()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        if self._lost:
            return
        self._lost = True
        self.origin.going_away = True
        self.gate = None
        delivered, cause = None, f"the connection to {self._server} ended"
        if isinstance(exc, ConnectionRefusedError) or self._transport is None:
            delivered, cause = 0, f"{self._server} refused the connection"
        elif self._fault:
            cause = f"{self._server} broke the HTTP/2 protocol: {self._fault}"
        elif self.session is not None:
            delivered = self._transport.get_extra_info("delivered")
        self._transport = None
        self._owner.link_lost(self, delivered, cause)

    def pause_writing(self) -> None:
        """The server takes no more: DATA waits in its stream."""
        self.origin.writable = False

    def resume_writing(self) -> None:
        """The server takes more again."""
        self.origin.resume()
        self._owner.progressed()

    def flush(self) -> None:
        """Write what the connection has to say."""
        out, transport = self.origin.out, self._transport
        if transport is None or not out:
            return
        data = out[0] if len(out) == 1 else b"".join(out)
        out.clear()
        if not transport.is_closing():
            transport.write(data)
        if transport.get_write_buffer_size() > FLOOD_LIMIT:
            self._fault = "it sends what must be acknowledged, and reads nothing"
            self.close()

    def close(self) -> None:
        """End it, or stop dialling."""
        self.origin.going_away = True
        if self._dialling is not None:
            self._dialling.cancel()
        if self._transport is not None:
            self._transport.abort()

    def retire(self) -> None:
        """Close it if it has no streams, and is to get none."""
        if self.origin.idle and self._transport is not None:
            self.origin.going_away = True
            self._transport.close()
