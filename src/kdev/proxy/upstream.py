"""The two connections that stand behind a client's: to the pod, and to the developer's process."""

import asyncio
from typing import Protocol, cast

from kdev.proxy.context import Dial
from kdev.proxy.flow import Gate, reset
from kdev.proxy.interface import Upstream
from kdev.proxy.original_destination import Address
from kdev.tunnel.half_close import half_close


class Listener(Protocol):
    """Who is told what happens on an upstream."""

    def received(self, upstream: "UpstreamConnection", data: bytes, /) -> None:
        """Bytes have come."""

    def accepted(self, upstream: "UpstreamConnection", /) -> None:
        """It is known that the other end has taken the connection."""

    def ended(self, upstream: "UpstreamConnection", /) -> bool:
        """No more bytes will come; answers whether the other direction goes on."""
        ...

    def lost(self, upstream: "UpstreamConnection", exc: Exception | None, /) -> None:
        """The connection is gone, or was never made."""


class Downstream(Protocol):
    """The client's side, as far as an upstream needs it.

    Attributes:
        gate: Shut while an upstream cannot take more.
        full: The client takes no more for now.
    """

    gate: Gate
    full: bool


class UpstreamConnection(Upstream):
    """One upstream: it stops the client when it cannot take more.

    Attributes:
        listener: Told what happens; changed when the connection's way changes.
        gate: Shut while the client cannot take more; None while there is no transport.
        connected: Whether the other end has ever taken the connection.
        written: How many bytes were written so far.
        delivered: Once lost: how many of them the other end was handed; None where nobody knows.
    """

    def __init__(self, listener: Listener, downstream: Downstream) -> None:
        self.listener = listener
        self.gate: Gate | None = None
        self.connected = False
        self.written = 0
        self.delivered: int | None = None
        self._transport: asyncio.Transport | None = None
        self._downstream = downstream

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; told twice where opening a stream both returns and announces it."""
        if self._transport is None:
            self._transport = cast("asyncio.Transport", transport)
            self.gate = Gate(self._transport)
            if self._downstream.full:
                self.gate.shut(self._downstream)

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        self.listener.received(self, data)

    def accepted(self) -> None:
        """The other end has taken the connection."""
        self.connected = True
        self.listener.accepted(self)

    def eof_received(self) -> bool:
        """The other end has ended its direction."""
        return self.listener.ended(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone: nothing holds the client back any more."""
        if self._transport is not None:
            self.delivered = self._transport.get_extra_info("delivered")
        self._transport = None
        self.gate = None
        self._downstream.gate.open(self)
        self.listener.lost(self, exc)

    def pause_writing(self) -> None:
        """What was written is not taken fast enough: read no more from the client."""
        self._downstream.gate.shut(self)

    def resume_writing(self) -> None:
        """What was written has been taken."""
        self._downstream.gate.open(self)

    @property
    def buffered(self) -> int:
        """Bytes written that the other end has not taken."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        """Send."""
        if self._transport is not None:
            self.written += len(data)
            self._transport.write(data)

    def end(self) -> None:
        """End this direction; reading goes on."""
        if self._transport is not None:
            half_close(self._transport)

    def close(self) -> None:
        """Send what was written, then end both directions."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """End both directions so that the other end sees a reset."""
        if self._transport is not None:
            reset(self._transport)


class PodConnection(UpstreamConnection):
    """The connection to the application's original address; it is dialled at once."""

    def __init__(self, listener: Listener, downstream: Downstream, dial: Dial, address: Address) -> None:
        super().__init__(listener, downstream)
        self._pending: list[bytes] = []
        self._end_pending = False
        self._dialling = asyncio.get_running_loop().create_task(self._dial(dial, address))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The application has accepted: send what has waited."""
        super().connection_made(transport)
        pending, self._pending = self._pending, []
        for data in pending:
            self.write(data)
        self._downstream.gate.open(self)
        self.accepted()
        if self._end_pending:
            self.end()

    def write(self, data: bytes) -> None:
        """Send, or wait with it; meanwhile nothing more is read from the client, so one read's worth is all."""
        if self._transport is not None:
            self._transport.write(data)
        elif not self.connected:
            self._pending.append(data)
            self._downstream.gate.shut(self)

    def end(self) -> None:
        """End this direction, after what has waited."""
        self._end_pending = True
        super().end()

    def close(self) -> None:
        """End both directions, or stop dialling."""
        self._dialling.cancel()
        super().close()

    def reset(self) -> None:
        """Reset, or stop dialling."""
        self._dialling.cancel()
        super().reset()

    def hand_over(self) -> asyncio.Transport:
        """Give the transport to somebody who sets a protocol of their own."""
        assert self._transport is not None, "handed over only once connected"
        return self._transport

    async def _dial(self, dial: Dial, address: Address) -> None:
        try:
            await dial(lambda: self, address)
        except OSError as error:
            self.connection_lost(error)
