"""Bytes both ways to the end of the connection, unread: other protocols, upgrades, and whatever is in doubt."""

from kdev.proxy.connection import Connection
from kdev.proxy.mirroring import Copy
from kdev.proxy.upstream import UpstreamConnection


class RawRoute:
    """A connection tied to one upstream, with a copy of what the client sends if there is to be one."""

    idle = False  # nobody knows what silence means in an unread protocol

    def __init__(self, connection: Connection, upstream: UpstreamConnection, copy: Copy | None = None) -> None:
        self._connection = connection
        self._upstream = upstream
        self._copy = copy
        self._client_ended = False
        self._upstream_ended = False
        upstream.listener = self
        connection.route = self

    def from_client(self, data: bytes) -> None:
        """Forward, and copy."""
        self._upstream.write(data)
        if self._copy is not None:
            self._copy.write(data)

    def client_ended(self) -> None:
        """Forward the end."""
        self._client_ended = True
        self._upstream.end()
        if self._copy is not None:
            self._copy.end()
        self._close_when_both_ended()

    def client_lost(self, exc: Exception | None) -> None:
        """The connection ends its upstreams; here only the copy is left."""
        if self._copy is not None:
            self._copy.close(complete=exc is None)

    def drain(self) -> None:
        """There is no word for it in an unread protocol: it runs on to its end."""

    def received(self, _upstream: UpstreamConnection, data: bytes) -> None:
        """Forward."""
        self._connection.client.write(data)

    def accepted(self, _upstream: UpstreamConnection) -> None:
        """What waited has been sent."""

    def ended(self, _upstream: UpstreamConnection) -> bool:
        """Forward the end."""
        self._upstream_ended = True
        self._connection.end_client()
        self._close_when_both_ended()
        return True

    def lost(self, _upstream: UpstreamConnection, exc: Exception | None) -> None:
        """A reset stays a reset."""
        if exc is None:
            self._connection.close()
        else:
            self._connection.reset()

    def _close_when_both_ended(self) -> None:
        if self._client_ended and self._upstream_ended:
            self._connection.close()
