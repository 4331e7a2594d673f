"""A request that a session wants, until it has been told what became of it."""

from kdev.proxy.http1.head import RequestHead
from kdev.proxy.http1.message import Piece
from kdev.proxy.interface import Outcome, Report, Shadowing


class Matched:
    """One matched request, or one whole connection of another protocol; reported once, whatever happens later.

    Attributes:
        session: The session that wants it.
        port: The application's port.
    """

    __slots__ = ("_line", "_reported", "port", "session")

    def __init__(self, session: Shadowing, port: int, line: bytes) -> None:
        self.session = session
        self.port = port
        self._line = line
        self._reported = False

    def report(self, outcome: Outcome, detail: str = "") -> None:
        """Tell the session, unless it has been told."""
        if not self._reported:
            self._reported = True
            method, target, _ = self._line.split(b" ", 2)
            self.session.report(Report(self.port, method, target, outcome, detail))


def match_request(session: Shadowing, piece: Piece[RequestHead], head: RequestHead, port: int) -> Matched | None:
    """The request as matched, or None when it stays on the pod alone.

    An offer to go on in HTTP/2 (``Upgrade: h2c``) stays there always: were it taken up, every later request of the
    connection would have gone with it, matched or not. Sidecars never make that offer.
    """
    if head.h2c or not session.matcher.match_head(piece.data[: piece.head_size], port) or not session.sampled():
        return None
    return Matched(session, port, piece.data[: piece.head_size])


def match_connection(session: Shadowing | None, port: int) -> Matched | None:
    """A whole connection as matched: of another protocol than HTTP, only its port is known."""
    if session is None or not session.matcher.match_port(port) or not session.sampled():
        return None
    return Matched(session, port, b"TCP  ")
