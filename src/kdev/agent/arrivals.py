"""Connections that the tap has led here: the self-test's own are recognised, all others go to the splice."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, cast

Source = tuple[Any, ...]
"""A socket's address: (host, port), and flow and scope for IPv6."""


class Arrivals:
    """Hands each accepted connection to a new protocol of the splice, unless somebody expects its source."""

    def __init__(self, splice: Callable[[], asyncio.Protocol]) -> None:
        self._splice = splice
        self._expected: dict[Source, asyncio.Future[None]] = {}

    @contextlib.contextmanager
    def expect(self, source: Source) -> Iterator[asyncio.Future[None]]:
        """A future that is done when a connection from ``source`` has arrived; that connection is closed."""
        arrived = asyncio.get_running_loop().create_future()
        self._expected[source[:2]] = arrived
        try:
            yield arrived
        finally:
            del self._expected[source[:2]]

    def protocol(self) -> asyncio.Protocol:
        """What ``create_server`` asks for at each connection."""
        return _Arrival(self) if self._expected else self._splice()

    def recognise(self, transport: asyncio.Transport) -> bool:
        """Whether this is the connection somebody expects."""
        source = transport.get_extra_info("peername")
        arrived = self._expected.get(source[:2]) if source else None
        if arrived is None:
            return False
        if not arrived.done():
            arrived.set_result(None)
        return True

    def pass_on(self, transport: asyncio.Transport) -> None:
        """Let the splice have a connection that nobody expected."""
        protocol = self._splice()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)


class _Arrival(asyncio.Protocol):
    """Stands in only while a self-test runs, so that the splice's path stays as short as it is."""

    def __init__(self, arrivals: Arrivals) -> None:
        self._arrivals = arrivals

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        connection = cast("asyncio.Transport", transport)
        if self._arrivals.recognise(connection):
            connection.close()
        else:
            self._arrivals.pass_on(connection)
