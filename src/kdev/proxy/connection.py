"""One client connection at the edge: its transport, its way, and the connection to the pod behind it.

The way (``Route``) changes while the connection lives: it begins with recognising the protocol, goes on with HTTP/1
or raw bytes, and may end raw after an upgrade. Only one route is told what happens at a time.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from kdev.proxy.context import Context, Handover
from kdev.proxy.flow import Gate, reset, silent_for
from kdev.proxy.interface import Shadowing
from kdev.proxy.original_destination import Address
from kdev.proxy.upstream import Listener, PodConnection, UpstreamConnection
from kdev.tunnel.half_close import half_close
from kdev.tunnel.streams import StreamForm


class Route(Listener, Protocol):
    """What is done with a connection's bytes, at present."""

    @property
    def idle(self) -> bool:
        """Whether the connection may be closed without anything being lost."""
        ...

    def from_client(self, data: bytes, /) -> None:
        """The client has sent bytes."""

    def client_ended(self) -> None:
        """The client will send no more; it may still read."""

    def client_lost(self, exc: Exception | None, /) -> None:
        """The client's connection is gone, by a fault or because it was closed here."""

    def drain(self) -> None:
        """See ``Drainable``."""


class Connection(asyncio.Protocol):
    """A client's connection.

    Attributes:
        client: The transport to the client.
        gate: Shut while some reason holds the client back.
        full: The client takes no more for now.
        upstreams: The connections behind it: they are held back while the client takes no more.
        route: What is done with its bytes.
        address: The application's.
    """

    client: asyncio.Transport
    gate: Gate
    route: Route
    address: Address

    def __init__(self, context: Context, begin: Callable[["Connection"], Route]) -> None:
        self.context = context
        self.full = False
        self.upstreams: set[UpstreamConnection] = set()
        self._begin = begin

    @property
    def port(self) -> int:
        """The application's port."""
        return self.address[1]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: find out where the client wanted to go."""
        self.client = cast("asyncio.Transport", transport)
        self.gate = Gate(self.client)
        try:
            self.address = self.context.original_destination(self.client)
        except OSError:
            # It came straight to the agent's port, by no rule of ours: there is nowhere to lead it.
            self.route = _Nowhere()
            reset(self.client)
            return
        self.route = self._begin(self)
        self.context.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Pass on."""
        self.route.from_client(data)

    def eof_received(self) -> bool:
        """The client will send no more; the other direction goes on."""
        self.route.client_ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone, and with it everything behind it."""
        self.context.connections.discard(self)
        self.route.client_lost(exc)
        for upstream in tuple(self.upstreams):
            self.leave(upstream, orderly=exc is None)

    def pause_writing(self) -> None:
        """The client takes no more: read no more from behind it."""
        self.full = True
        for upstream in self.upstreams:
            if upstream.gate is not None:
                upstream.gate.shut(self)

    def resume_writing(self) -> None:
        """The client takes more again."""
        self.full = False
        for upstream in self.upstreams:
            if upstream.gate is not None:
                upstream.gate.open(self)

    def connect_pod(self, listener: Listener) -> PodConnection:
        """Dial the application."""
        pod = PodConnection(listener, self, self.context.dial, self.address)
        self.upstreams.add(pod)
        return pod

    def open_stream(self, session: Shadowing, listener: Listener) -> UpstreamConnection | None:
        """Open a stream to the developer's process; None when it cannot be reached now."""
        stream = UpstreamConnection(listener, self)
        transport = session.open(self.port, stream, form=StreamForm.RAW)
        if transport is None or transport.is_closing():
            return None
        stream.connection_made(transport)
        self.upstreams.add(stream)
        return stream

    def leave(self, upstream: UpstreamConnection, *, orderly: bool) -> None:
        """Have nothing more to do with an upstream."""
        upstream.listener = DEAF
        self.upstreams.discard(upstream)
        if orderly:
            upstream.close()
        else:
            upstream.reset()

    def hand_over(self, pod: PodConnection, from_client: bytes, from_pod: bytes) -> Handover:
        """Give both transports to somebody who sets protocols of their own on them; this connection is over."""
        pod.listener = DEAF
        self.upstreams.clear()
        self.context.connections.discard(self)
        return Handover(self.client, from_client, pod.hand_over(), from_pod, self.address, self.context)

    def end_client(self) -> None:
        """Send the client no more, after what was written."""
        half_close(self.client)

    def close(self) -> None:
        """Both directions are at their end: send what was written, then close."""
        self.client.close()

    def reset(self) -> None:
        """End it so that the client cannot take what it got for the whole."""
        if not self.client.is_closing():
            reset(self.client)

    def drain(self) -> None:
        """Hand the connection back: see ``Drainable``."""
        self.route.drain()

    def close_idle(self, seconds: float) -> None:
        """See ``Drainable``."""
        if self.route.idle and silent_for(self.client) >= seconds:
            self.client.close()

    def abort(self) -> None:
        """End it now."""
        self.reset()


class _Deaf:
    """Listens to an upstream that no longer matters."""

    def received(self, _upstream: UpstreamConnection, _data: bytes, /) -> None:
        """Nobody reads it."""

    def accepted(self, _upstream: UpstreamConnection, /) -> None:
        """Too late."""

    def ended(self, _upstream: UpstreamConnection, /) -> bool:
        """Close it."""
        return False

    def lost(self, _upstream: UpstreamConnection, _exc: Exception | None, /) -> None:
        """As it should be."""


DEAF = _Deaf()


class _Nowhere(_Deaf):
    """The route of a connection that is being reset."""

    idle = False

    def from_client(self, data: bytes) -> None:
        """Nobody reads it."""

    def client_ended(self) -> None:
        """It is being reset already."""

    def client_lost(self, exc: Exception | None) -> None:
        """As it should be."""

    def drain(self) -> None:
        """It is being reset already."""
