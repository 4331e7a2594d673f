"""One HTTP/2 connection at the edge: the transports to the client and to the pod, and what both ways of serving share.

Which way it is served is decided when it begins, by the session there is: steal sessions need header blocks without
a dynamic table from the first frame on, all others need the bytes untouched. A connection that began otherwise than a
later session needs is handed back by GOAWAY; the client's next one is served the right way.
"""

import asyncio
from collections.abc import Callable

from kdev.proxy.context import Handover
from kdev.proxy.flow import Gate, reset
from kdev.proxy.http2.origin import Answers, OriginConnection
from kdev.proxy.http2.origin_link import WRITE_BUFFER, OriginLink
from kdev.proxy.interface import Shadowing
from kdev.tunnel.half_close import half_close
from kdev.tunnel.streams import StreamForm


class _Side(asyncio.Protocol):
    """The protocol of one of the two transports."""

    def __init__(
        self,
        received: Callable[[bytes], None],
        ended: Callable[[], None],
        lost: Callable[[Exception | None], None],
        full: Callable[[bool], None],
    ) -> None:
        self._received, self._ended, self._lost, self._full = received, ended, lost, full

    def data_received(self, data: bytes) -> None:
        self._received(data)

    def eof_received(self) -> bool:
        self._ended()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)

    def pause_writing(self) -> None:
        self._full(True)

    def resume_writing(self) -> None:
        self._full(False)


class Http2Connection:
    """A client's connection; subclasses decide what its bytes mean."""

    def __init__(self, handover: Handover) -> None:
        self._context, self._address = handover.context, handover.address
        self._client, self._pod = handover.client, handover.pod
        self._client_gate, self._pod_gate = Gate(self._client), Gate(self._pod)
        self._links: set[OriginLink] = set()
        self._over = self._client_done = self._pod_done = self._draining = False

    def begin(self, handover: Handover) -> None:
        """Take the transports over, with what was read from them."""
        self._client.set_protocol(_Side(self.from_client, self._client_ended, self._client_lost, self._client_full))
        self._pod.set_protocol(_Side(self.from_pod, self._pod_ended, self._pod_lost, self._pod_full))
        self._client.set_write_buffer_limits(high=WRITE_BUFFER)
        self._pod.set_write_buffer_limits(high=WRITE_BUFFER)
        self._context.connections.add(self)
        self.from_client(handover.from_client)
        if handover.from_pod:
            self.from_pod(handover.from_pod)

    def from_client(self, data: bytes) -> None:
        """The client has sent bytes."""
        raise NotImplementedError

    def from_pod(self, data: bytes) -> None:
        """The pod has sent bytes."""
        raise NotImplementedError

    def current(self) -> Shadowing | None:
        """The session for a new request: none once the connection is handed back."""
        return None if self._draining else self._context.current()

    def drain(self) -> None:
        """See ``Drainable``; subclasses ask the client."""
        self._draining = True
        self._flush_links()

    def close_idle(self, seconds: float) -> None:
        """Nothing: a client that was told GOAWAY ends the connection after its last stream (RFC 9113, section 6.8)."""

    def progressed(self) -> None:
        """Implements ``LinkOwner``."""
        raise NotImplementedError

    def link_lost(self, link: OriginLink, delivered: int | None, cause: str, /) -> None:
        """Implements ``LinkOwner``."""
        raise NotImplementedError

    def abort(self) -> None:
        """End it now."""
        self._client.abort()

    # ---- connections of kdev's own

    def _developer(self, session: Shadowing, answers: Answers) -> OriginConnection | None:
        for link in self._links:
            if link.session is session and not link.origin.going_away:
                return link.origin
        link = OriginLink(self, OriginConnection(answers), session)
        transport = session.open(self._address[1], link, form=StreamForm.RAW)
        if transport is None or transport.is_closing():
            return None
        link.connection_made(transport)
        self._links.add(link)
        return link.origin

    def _flush_links(self) -> None:
        for link in tuple(self._links):
            link.flush()
            if link.origin.going_away or (self._draining and link.session is not None):
                link.retire()

    # ---- both ways of serving end alike

    def _client_ended(self) -> None:
        self._client_done = True
        half_close(self._pod)
        self._close_if_done()

    def _client_lost(self, exc: Exception | None) -> None:
        self._over = True
        self._context.connections.discard(self)
        for link in tuple(self._links):
            link.close()
        if exc is None:
            self._pod.close()
        else:
            reset(self._pod)

    def _pod_ended(self) -> None:
        self._pod_done = True
        half_close(self._client)
        self._close_if_done()

    def _close_if_done(self) -> None:
        if self._client_done and self._pod_done:
            self._client.close()
            self._pod.close()

    def _pod_lost(self, exc: Exception | None) -> None:
        if self._over:
            return
        if exc is None:
            self._client.close()
        else:
            reset(self._client)

    # ---- back-pressure

    def _client_full(self, full: bool) -> None:  # noqa: FBT001 - pause_writing and resume_writing in one
        gates = [self._pod_gate, *(link.gate for link in self._links)]
        for gate in gates:
            if gate is not None:
                (gate.shut if full else gate.open)(self)

    def _pod_full(self, full: bool) -> None:  # noqa: FBT001 - the same
        (self._client_gate.shut if full else self._client_gate.open)(self)
