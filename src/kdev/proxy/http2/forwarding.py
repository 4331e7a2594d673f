"""A connection whose bytes pass untouched, while its requests are read along and perhaps copied."""

from kdev.proxy.context import Handover
from kdev.proxy.http2.connection import Http2Connection
from kdev.proxy.http2.farewell import Farewell
from kdev.proxy.http2.mirrored_requests import MirroredRequests
from kdev.proxy.http2.origin import OriginConnection
from kdev.proxy.http2.origin_link import OriginLink
from kdev.proxy.http2.read_along import RequestsReadAlong
from kdev.proxy.interface import Shadowing


class ForwardedConnection(Http2Connection):
    """Serves pass-through and mirror sessions."""

    def __init__(self, handover: Handover) -> None:
        super().__init__(handover)
        self._mirrored = MirroredRequests(handover.address[1], self.current, self)
        self._requests = RequestsReadAlong(self._mirrored)
        self._farewell = Farewell()
        self.begin(handover)

    def from_client(self, data: bytes) -> None:
        """Forward first, read then."""
        self._pod.write(data)
        self._requests.receive(data)
        if self._requests.lost:
            self._mirrored.drop_unfinished("the caller's frames are not understood")
        if self._mirrored.misplaced and not self._draining:
            self.drain()
        if self._links:
            self._flush_links()

    def from_pod(self, data: bytes) -> None:
        """Forward."""
        self._client.write(self._farewell.receive(data))

    def drain(self) -> None:
        """Put a GOAWAY between two frames."""
        super().drain()
        farewell = self._farewell.say()
        if farewell:
            self._client.write(farewell)

    def developer(self, session: Shadowing) -> OriginConnection | None:
        """Implements ``MirrorOrigins``."""
        return self._developer(session, self._mirrored)

    def progressed(self) -> None:
        """Implements ``LinkOwner``."""
        self._flush_links()

    def link_lost(self, link: OriginLink, _delivered: int | None, cause: str, /) -> None:
        """Implements ``LinkOwner``: copies are not repeated."""
        self._links.discard(link)
        self._mirrored.origin_lost(link.origin, cause)
