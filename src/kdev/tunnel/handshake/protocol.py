"""A handshake on a connection: before the tunnel, in its place, and bounded in time."""

import asyncio
from typing import cast

from kdev.errors import AgentFailure
from kdev.tunnel.handshake.exchange import Handshake

TIMEOUT = 10.0
"""Seconds for the whole handshake: two round trips through an API server, with a loaded node's pauses."""


class HandshakeProtocol(asyncio.Protocol):
    """The first protocol of a carrier; the tunnel takes its place when both ends are convinced.

    Args:
        handshake: One end's.
        tunnel: Told ``connection_made`` in the moment that the handshake is done, and never before.
        timeout: Seconds for all of it.

    Attributes:
        finished: The other end's public key, or the ``AgentFailure``. On failure the carrier closes.
    """

    def __init__(self, handshake: Handshake, tunnel: asyncio.Protocol, *, timeout: float = TIMEOUT) -> None:
        self.finished: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._handshake = handshake
        self._tunnel = tunnel
        self._carrier: asyncio.Transport | None = None
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say what there is to say first."""
        self._timer = asyncio.get_running_loop().call_later(self._timeout, self._time_is_up)
        self._carrier = cast("asyncio.Transport", transport)
        self._send(self._carrier)

    def data_received(self, data: bytes) -> None:
        """Go on with the handshake."""
        carrier = self._carrier
        if carrier is None or self.finished.done():
            return
        try:
            self._handshake.receive_data(data)
        except AgentFailure as failure:
            self._send(carrier)
            self._fail(failure)
            return
        self._send(carrier)
        if self._handshake.done:
            self._make_way(carrier)

    def eof_received(self) -> None:
        """The other end says no more."""
        self._fail(self._handshake.closed())

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the failure says what it means
        """The connection is gone."""
        self._fail(self._handshake.closed())

    def _send(self, carrier: asyncio.Transport) -> None:
        data = self._handshake.data_to_send()
        if data:
            carrier.write(data)

    def _make_way(self, carrier: asyncio.Transport) -> None:
        self._stop_timer()
        self.finished.set_result(self._handshake.peer_key)
        carrier.set_protocol(self._tunnel)
        self._tunnel.connection_made(carrier)
        if self._handshake.rest:
            self._tunnel.data_received(self._handshake.rest)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _time_is_up(self) -> None:
        self._fail(self._handshake.closed())

    def _fail(self, failure: AgentFailure) -> None:
        self._stop_timer()
        if not self.finished.done():
            self.finished.set_exception(failure)
        if self._carrier is not None:
            self._carrier.close()
