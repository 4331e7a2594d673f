"""What becomes of a stolen request that the developer's process did not answer: pure decisions."""

from dataclasses import dataclass
from enum import Enum
from http import HTTPStatus

KEPT = 64 * 1024
"""Bytes of a stolen request that are kept until its answer begins. Nearly all requests are smaller; it is what each
connection may cost while the developer sits at a breakpoint."""

SAFE_METHODS = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})
"""RFC 9110, section 9.2.1: asking twice does nothing twice."""


class Remedy(Enum):
    """What to do."""

    POD = "the pod gets the request"
    ERROR = "the client gets an error"


@dataclass(frozen=True, slots=True)
class Loss:
    """A request without an answer.

    Attributes:
        method: The request's.
        begun: How many bytes had been written to the stream before the request.
        delivered: How many bytes of the stream were handed to the process; None where nobody knows.
        kept: Whether all of the request that has come so far is still here.
    """

    method: bytes
    begun: int
    delivered: int | None
    kept: bool


def remedy(loss: Loss) -> Remedy:
    """Decide: the pod gets what the process cannot have seen, and what may be asked twice; nothing else.

    >>> remedy(Loss(b"POST", begun=0, delivered=0, kept=True)).name
    'POD'
    >>> remedy(Loss(b"POST", begun=0, delivered=None, kept=True)).name
    'ERROR'
    """
    if not loss.kept:
        return Remedy.ERROR
    unseen = loss.delivered is not None and loss.delivered <= loss.begun
    return Remedy.POD if unseen or loss.method in SAFE_METHODS else Remedy.ERROR


class Kept:
    """The first bytes of a request, while all of it is here."""

    __slots__ = ("_parts", "complete", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0
        self.complete = True

    def add(self, data: bytes) -> None:
        """Keep more."""
        if self.complete:
            self._parts.append(data)
            self.size += len(data)

    def forget(self) -> None:
        """Give up keeping: there is too much, or it is not needed any more."""
        self._parts.clear()
        self.complete = False

    def take(self) -> bytes:
        """All that was kept."""
        return b"".join(self._parts)


def error_response(status: HTTPStatus, reason: str, *, method: bytes, closes: bool) -> bytes:
    """The answer to a request that neither the process nor the pod may get (any more).

    Args:
        status: The status code.
        reason: One line, for the field ``x-kdev-error`` and the body.
        method: The request's; a HEAD has no body.
        closes: The connection ends with it, as some of the request is still to come.
    """
    body = f"kdev: {reason}\n".encode()
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\n"
        f"x-kdev-error: {reason}\r\n"
        "content-type: text/plain; charset=utf-8\r\n"
        f"content-length: {len(body)}\r\n" + ("connection: close\r\n" if closes else "") + "\r\n"
    ).encode()
    return head if method == b"HEAD" else head + body
