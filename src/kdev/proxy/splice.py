"""The splice: a listening socket's protocol factory, and the account of its connections."""

import asyncio

from kdev.proxy.connection import Connection
from kdev.proxy.context import Context, Dial, Http2Factory, dial
from kdev.proxy.draining import Connections
from kdev.proxy.first_bytes import FirstBytes
from kdev.proxy.http2.taking_over import take_over
from kdev.proxy.interface import Current
from kdev.proxy.original_destination import OriginalDestination, original_destination


class Splice:
    """Serves the connections that a tap leads here.

    Give it to ``loop.create_server`` as the protocol factory. To hand everything back: take the tap down, ``drain()``,
    wait for ``connections.none_left()`` as long as there is time, then ``connections.abort()``.

    Attributes:
        connections: The connections that are open.
    """

    def __init__(
        self,
        current: Current,
        *,
        http2: Http2Factory = take_over,
        original_destination: OriginalDestination = original_destination,
        dial: Dial = dial,
    ) -> None:
        self.connections = Connections()
        self._context = Context(original_destination, current, dial, self.connections)
        self._http2 = http2

    def __call__(self) -> asyncio.Protocol:
        """Make the protocol of one accepted connection."""
        return Connection(self._context, lambda connection: FirstBytes(connection, self._http2))

    def drain(self) -> None:
        """Ask every client to close its connection, each at the first moment without a race."""
        self.connections.drain()
