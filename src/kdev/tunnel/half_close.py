"""Ending one direction of a connection while the other goes on: the only function that does it.

uvloop's ``write_eof()`` corrupts the heap under fast connect, reset and half-close (seen in 0.21, 0.22 and 0.23;
plain asyncio is not affected), so it is never called. Instead the write side of a duplicate of the descriptor is
shut down once everything written has left the transport's buffer.

No loop tells when a buffer has drained unless writing was paused. So, where something is still buffered, the
transport's write limits are set to zero, which pauses writing at once, and a stand-in for the transport's protocol
waits for ``resume_writing``; everything else it passes on.
"""

import asyncio
import socket
from typing import Protocol, cast, runtime_checkable


@runtime_checkable
class HalfClosing(Protocol):
    """A transport that ends its own direction by itself, like a stream of the tunnel."""

    def half_close(self) -> None:
        """Send what is buffered, then end this direction; reading goes on."""


def half_close(transport: asyncio.Transport) -> None:
    """End the write direction once everything written has been sent; reading goes on.

    Nothing may be written afterwards. Calling it again, or when the connection is closing, does nothing. Until the
    buffer has drained, the transport's ``get_protocol`` names a stand-in.

    Args:
        transport: A connected stream socket's transport (TCP or Unix, not TLS) of uvloop or asyncio, or one that
            has a ``half_close`` of its own.
    """
    if isinstance(transport, HalfClosing):
        transport.half_close()
    elif transport.is_closing() or isinstance(transport.get_protocol(), _UntilDrained):
        pass
    elif transport.get_write_buffer_size():
        _UntilDrained(transport)
    else:
        _shut_down(transport)


def _shut_down(transport: asyncio.Transport) -> None:
    own: socket.socket = transport.get_extra_info("socket")
    try:
        with socket.fromfd(own.fileno(), own.family, own.type) as duplicate:
            duplicate.shutdown(socket.SHUT_WR)
    except OSError:
        # The peer has reset the connection meanwhile; the transport reports that by itself.
        return


class _UntilDrained(asyncio.Protocol):
    """Stands in for a transport's protocol until the write buffer is empty, then shuts the direction down."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._protocol = cast("asyncio.Protocol", transport.get_protocol())
        self._low, self._high = transport.get_write_buffer_limits()
        # A transport pauses a protocol that it has not paused before: if it does not, this one was paused already.
        self._was_paused = True
        transport.set_protocol(self)
        transport.set_write_buffer_limits(high=0)

    def pause_writing(self) -> None:
        self._was_paused = False

    def resume_writing(self) -> None:
        self._transport.set_protocol(self._protocol)
        self._transport.set_write_buffer_limits(high=self._high, low=self._low)
        if not self._transport.is_closing():
            _shut_down(self._transport)
        if self._was_paused:
            self._protocol.resume_writing()

    def data_received(self, data: bytes) -> None:
        self._protocol.data_received(data)

    def eof_received(self) -> bool | None:
        return self._protocol.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        self._protocol.connection_lost(exc)
