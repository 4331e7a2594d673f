"""SPDY streams upon a link: what the client opens arrives as streams that are read by callback and written directly."""

from collections.abc import Callable
from typing import Final

from aiohttp import web

from kdev.sandbox.api import statuses
from kdev.sandbox.api.streaming import spdy
from kdev.sandbox.api.streaming.connection import Link, UpgradedConnection, upgrade

_MOST_STREAMS: Final = 4096
"""Open streams of one connection; kubectl opens two for each forwarded TCP connection."""
_REFUSED: Final = 3


class SpdyStream:
    """One stream of a client."""

    def __init__(self, session: "SpdySession", number: int, headers: dict[str, str]) -> None:
        self.headers = headers
        self.receive: Callable[[bytes], None] = lambda _: None
        self.ended: Callable[[], None] = lambda: None
        self._session = session
        self._number = number
        self.finished = False

    @property
    def link(self) -> Link:
        """What the stream's connection runs on."""
        return self._session.link

    def write(self, data: bytes) -> None:
        """Send bytes on it."""
        if not self.finished:
            self._session.link.write(spdy.data_frame(self._number, data))

    def finish(self) -> None:
        """End our direction."""
        if not self.finished:
            self.finished = True
            self._session.link.write(spdy.data_frame(self._number, b"", fin=True))

    def reset(self) -> None:
        """Give the stream up in both directions."""
        self.finished = True
        self._session.forget(self._number)
        self._session.link.write(spdy.reset_frame(self._number, 5))


class SpdySession:
    """The streams of one connection."""

    def __init__(self, link: Link, opened: Callable[[SpdyStream], None]) -> None:
        self.link = link
        self._opened = opened
        self._connection = spdy.Connection()
        self._streams: dict[int, SpdyStream] = {}

    def receive(self, data: bytes) -> None:
        """Take the client's bytes."""
        try:
            for event in self._connection.feed(data):
                self._handle(event)
        except spdy.SpdyError:
            self.link.close()

    def forget(self, number: int) -> None:
        """Read a stream no longer."""
        self._streams.pop(number, None)

    def _handle(self, event: spdy.Event) -> None:
        match event:
            case spdy.StreamOpened(number, headers, fin):
                self._open(number, headers, fin=fin)
            case spdy.DataReceived(number, data, fin):
                stream = self._streams.get(number)
                if stream and data:
                    stream.receive(data)
                if stream and fin:
                    self.forget(number)
                    stream.ended()
            case spdy.StreamReset(number):
                stream = self._streams.pop(number, None)
                if stream:
                    stream.finished = True
                    stream.ended()
            case spdy.PingReceived(number):
                self.link.write(spdy.ping_frame(number))
            case spdy.GoneAway():
                pass  # streams that are open go on; the client closes when they are done

    def _open(self, number: int, headers: dict[str, str], *, fin: bool) -> None:
        if len(self._streams) >= _MOST_STREAMS:
            self.link.write(spdy.reset_frame(number, _REFUSED))
            return
        stream = SpdyStream(self, number, headers)
        self.link.write(self._connection.reply(number))
        if not fin:
            self._streams[number] = stream
        self._opened(stream)


def accept(request: web.Request, protocols: tuple[str, ...]) -> tuple[str, UpgradedConnection]:
    """Accept an upgrade to SPDY/3.1 in the first of our stream protocols that the client offers.

    Raises:
        Refusal: 403 when none fits.
    """
    header = "X-Stream-Protocol-Version"
    offered = [item.strip() for value in request.headers.getall(header, []) for item in value.split(",")]
    chosen = next((protocol for protocol in protocols if protocol in offered), None)
    if chosen is None:
        message = (
            f"unable to upgrade: unable to negotiate protocol: client supports {offered}, server accepts {protocols}"
        )
        raise statuses.Refusal(403, "Forbidden", message)
    return chosen, upgrade(request, {"Connection": "Upgrade", "Upgrade": "SPDY/3.1", header: chosen})


def is_spdy(request: web.Request) -> bool:
    """Whether a request asks for SPDY."""
    return request.headers.get("Upgrade", "").lower() == "spdy/3.1"
