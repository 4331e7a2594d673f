"""A connection whose matching streams go to the developer's process, and all others to the pod."""

import asyncio
from typing import Final

from kdev.proxy.context import Handover
from kdev.proxy.flow import reset
from kdev.proxy.http2.connection import Http2Connection
from kdev.proxy.http2.frames import Http2Error, goaway
from kdev.proxy.http2.origin import OriginConnection
from kdev.proxy.http2.origin_link import OriginLink
from kdev.proxy.http2.router import Router
from kdev.proxy.interface import Shadowing
from kdev.tunnel.half_close import half_close

PATIENCE: Final = 5.0
"""Seconds that the client has to close after everything was said: what nginx grants (``lingering_timeout``)."""

HELD_LIMIT: Final = 1024 * 1024
"""Bytes of the pod's DATA that wait for the client's window; beyond it nothing more is read from the pod."""


class StealingConnection(Http2Connection):
    """Serves steal sessions."""

    def __init__(self, handover: Handover) -> None:
        super().__init__(handover)
        self._loop = asyncio.get_running_loop()
        self._router = Router(handover.address[1], self.current, self, self._loop.time)
        self._said_all = False
        self._timer: asyncio.TimerHandle | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self.begin(handover)

    def from_client(self, data: bytes) -> None:
        """Route."""
        if self._said_all:
            return
        try:
            self._router.from_client(data)
        except Http2Error as error:
            self._refuse(error)
        self.progressed()

    def from_pod(self, data: bytes) -> None:
        """Pass on."""
        if self._said_all:
            return
        try:
            self._router.from_pod(data)
        except Http2Error as error:
            self._refuse(error)
        self.progressed()

    def drain(self) -> None:
        """See ``Drainable``."""
        super().drain()
        self._router.drain()
        self.progressed()

    # ---- connections of kdev's own

    def developer(self, session: Shadowing) -> OriginConnection | None:
        """Implements ``Origins``."""
        return self._developer(session, self._router.stolen)

    def pod(self) -> OriginConnection:
        """Implements ``Origins``."""
        for link in self._links:
            if link.session is None and not link.origin.going_away:
                return link.origin
        link = OriginLink(self, OriginConnection(self._router.stolen), None)
        self._links.add(link)
        link.dial(self._context.dial(lambda: link, self._address))
        return link.origin

    def link_lost(self, link: OriginLink, delivered: int | None, cause: str, /) -> None:
        """Implements ``LinkOwner``."""
        self._links.discard(link)
        if not self._over:
            self._router.stolen.origin_lost(link.origin, delivered, cause)
            self.progressed()

    def progressed(self) -> None:
        """Write what there is to be written, and end if there is nothing left to be said."""
        router = self._router
        if router.to_client and router.ready and not self._said_all:
            self._client.write(b"".join(router.to_client))
            router.to_client.clear()
        if router.to_pod:
            if not self._pod.is_closing():
                self._pod.write(b"".join(router.to_pod))
            router.to_pod.clear()
        if self._links:
            self._flush_links()
        if router.held_bytes > HELD_LIMIT:
            self._pod_gate.shut(router)
        else:
            self._pod_gate.open(router)
        deadline = router.stolen.next_deadline
        if deadline is not None and self._expiry is None:
            self._expiry = self._loop.call_at(deadline, self._expire)
        if self._pod_done and not self._said_all and (router.goaway is None or router.idle):
            self._linger()

    def _expire(self) -> None:
        self._expiry = None
        self._router.stolen.expire()
        self.progressed()

    # ---- ends

    def _refuse(self, error: Http2Error) -> None:
        """One of the two main peers broke the protocol: say so, and end."""
        self._router.to_client.append(goaway(0, error.code, str(error).encode()))
        self._router.ready = self._pod_done = True
        self._router.goaway = None

    def _linger(self) -> None:
        """End our direction, and read to nowhere until the client closes: a plain close would cut off answers."""
        self._said_all = True
        if self._client_done:
            self._client.close()
        else:
            half_close(self._client)
        self._timer = self._loop.call_later(PATIENCE, self._client.close)
        self._pod.close()
        for link in tuple(self._links):
            link.close()

    def _client_ended(self) -> None:
        if self._said_all:
            self._client.close()
        else:
            super()._client_ended()

    def _close_if_done(self) -> None:
        """Stolen streams may still be answered: ``progressed`` ends the connection after them."""
        self.progressed()

    def _client_lost(self, exc: Exception | None) -> None:
        super()._client_lost(exc)
        for timer in (self._timer, self._expiry):
            if timer is not None:
                timer.cancel()

    def _pod_ended(self) -> None:
        """A server closes connections that it finds idle; stolen streams are answered all the same."""
        self._pod_done = True
        if not self._router.idle:
            self._router.pod_ended()
        self.progressed()

    def _pod_lost(self, exc: Exception | None) -> None:
        if self._over or self._said_all:
            return
        if exc is not None and self._router.goaway is None:
            reset(self._client)
        else:
            self._pod_ended()
