"""The end of a connection whose last answer is on its way to a client that may still be sending.

Closing at once would reset the connection when unread bytes arrive, and the reset may overtake the answer (RFC 9112,
section 9.6). So the client is read, to nowhere, until it closes as well.
"""

import asyncio

from kdev.proxy.connection import DEAF, Connection
from kdev.proxy.upstream import UpstreamConnection

PATIENCE = 5.0
"""Seconds that the client has to close: what nginx grants (``lingering_timeout``)."""


class LingeringRoute:
    """Reads and forgets until the client closes."""

    idle = False  # it has a bound of its own

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        for upstream in tuple(connection.upstreams):
            connection.leave(upstream, orderly=True)
        connection.route = self
        connection.end_client()
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, connection.close)

    def from_client(self, data: bytes) -> None:
        """Too late."""

    def client_ended(self) -> None:
        """Both directions have ended."""
        self._connection.close()

    def client_lost(self, _exc: Exception | None) -> None:
        """It is over."""
        self._timer.cancel()

    def drain(self) -> None:
        """It is ending already."""

    def received(self, upstream: UpstreamConnection, data: bytes) -> None:
        """There is no upstream left."""
        DEAF.received(upstream, data)

    def accepted(self, upstream: UpstreamConnection) -> None:
        """There is no upstream left."""
        DEAF.accepted(upstream)

    def ended(self, upstream: UpstreamConnection) -> bool:
        """There is no upstream left."""
        return DEAF.ended(upstream)

    def lost(self, upstream: UpstreamConnection, exc: Exception | None) -> None:
        """There is no upstream left."""
        DEAF.lost(upstream, exc)
