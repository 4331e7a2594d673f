"""One stolen request: what of it is kept for a second try, and what its two directions wait for."""

from collections import deque
from typing import NamedTuple

from kdev.proxy.falling_back import KEPT, SAFE_METHODS
from kdev.proxy.http2.frames import DEFAULT_WINDOW
from kdev.proxy.http2.header_fields import Fields
from kdev.proxy.http2.origin import OriginConnection, OriginStream
from kdev.proxy.interface import Shadowing

LOOKED_AT = frozenset({b":method", b":path", b"content-type"})
"""Fields that stealing itself needs, whatever the filters look at."""


class KeptRequest:
    """A request as far as it has come, small enough to be sent again."""

    def __init__(self, block: bytes) -> None:
        self.block = block
        self.body: list[bytes] = []
        self.trailers: bytes | None = None
        self.ended = False
        self._size = 0

    def add(self, payload: bytes, *, end: bool) -> bool:
        """Keep a piece of body; False if it has become too much."""
        self._size += len(payload)
        self.body.append(payload)
        self.ended = end
        return self._size <= KEPT

    def end(self, trailers: bytes) -> None:
        """Keep the trailers."""
        self.trailers, self.ended = trailers, True

    def send(self, origin: OriginConnection, owner: "StolenStream") -> OriginStream:
        """Send all that is kept as a new request."""
        stream = origin.request(owner, self.block, end=self.ended and not self.body and self.trailers is None)
        for place, payload in enumerate(self.body, 1):
            last = self.ended and self.trailers is None and place == len(self.body)
            origin.send(stream, payload, 0, end=last)
        if self.trailers is not None:
            origin.send_trailers(stream, self.trailers)
        return stream


class WaitingFrame(NamedTuple):
    """A frame of an answer that waits for the client's windows; ``cost`` is 0 unless it is DATA."""

    frame: bytes
    cost: int
    ends: bool


class StolenStream:
    """A stream of the client's whose request went to the developer's process.

    Attributes:
        id: On the client's connection.
        origin: The connection that serves it now.
        stream: The stream on that connection.
        at_pod: It has fallen back to the pod.
        tries: How often it was sent.
        kept: The request, until its answer begins or it has grown too long.
        upload_room: Bytes the client believes it may still send on it.
        unsent: Bytes the client has sent and ``origin`` has not passed on.
        download_room: Bytes of answer that the client takes.
        waiting: Frames of the answer that found no room.
        request_ended: The client has ended its half.
        answer_ended: The client has been sent the end of the answer.
        reported: What became of it has been told.
        deadline: When the wait for the answer's first byte ends, if it does.
    """

    __slots__ = (
        "answer_ended",
        "at_pod",
        "deadline",
        "download_room",
        "grpc",
        "id",
        "kept",
        "method",
        "origin",
        "reported",
        "request_ended",
        "safe",
        "session",
        "stream",
        "target",
        "tries",
        "unsent",
        "upload_room",
        "waiting",
    )

    origin: OriginConnection
    stream: OriginStream

    def __init__(self, stream_id: int, session: Shadowing, fields: Fields, kept: KeptRequest) -> None:
        self.id = stream_id
        self.session = session
        self.method = fields.get(b":method", b"")
        self.target = fields.get(b":path", b"")
        self.safe = self.method in SAFE_METHODS
        self.grpc = fields.get(b"content-type", b"").startswith(b"application/grpc")
        self.kept: KeptRequest | None = kept
        self.at_pod = False
        self.tries = 0
        self.upload_room = self.download_room = DEFAULT_WINDOW
        self.unsent = 0
        self.waiting: deque[WaitingFrame] = deque()
        self.request_ended = kept.ended
        self.answer_ended = False
        self.reported = False
        self.deadline: float | None = None

    def send_kept(self, origin: OriginConnection) -> None:
        """Send the request to ``origin``, for the first time or again."""
        assert self.kept is not None
        self.tries += 1
        self.origin = origin
        self.stream = self.kept.send(origin, self)
