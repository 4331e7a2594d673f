"""One stream of a connection: its two windows, its two directions, and what becomes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kdev.tunnel.yamux.frames import HEADER, LARGEST_WINDOW, VERSION, Flag, FrameType, encode
from kdev.tunnel.yamux.protocol_error import LocalProtocolError, RemoteProtocolError

if TYPE_CHECKING:
    from kdev.tunnel.yamux.connection import Connection

_pack = HEADER.pack
_DATA = int(FrameType.DATA)
_FIN = int(Flag.FIN)


class Stream:
    """One stream, made by ``Connection``; what it sends waits in the connection's ``data_to_send``.

    Attributes:
        id: Odd when the client opened it.
        send_window: Bytes that may be sent now.
        receive_window: Bytes that the other end may send now.
        local_ended: Whether ``end`` was called.
        remote_ended: Whether the other end sends nothing more.
        gone: Whether the stream was reset by either end; nothing can be done with it any more.
        acknowledged: Whether the other end has answered the opening.
        delivered: Of the bytes sent, how many the other end had consumed when it ended or reset the stream; None
            before that. Each end puts its whole credit into the frame that ends its direction, so with a peer of
            this implementation the number is exact.
    """

    __slots__ = (
        "_connection",
        "_credit",
        "_credited",
        "_discarding",
        "_frame",
        "_out",
        "_window",
        "acknowledged",
        "delivered",
        "gone",
        "id",
        "local_ended",
        "receive_window",
        "remote_ended",
        "send_window",
    )

    def __init__(self, connection: Connection, stream: int, send_window: int) -> None:
        self.id = stream
        self.send_window = send_window
        self.receive_window = self._window = connection.limits.window
        self.local_ended = self.remote_ended = self.gone = self.acknowledged = self._discarding = False
        self.delivered: int | None = None
        self._connection = connection
        self._out = connection.out
        self._frame = connection.limits.frame
        self._credit = 0
        self._credited = 0

    # ---- what this end does

    def send(self, data: bytes | memoryview) -> int:
        """Send as many of the bytes as the window has room for, and return their number.

        Raises:
            LocalProtocolError: This direction has ended, or the stream is gone.
        """
        if self.local_ended or self.gone:
            raise LocalProtocolError(f"stream {self.id} takes no more data")
        size = len(data)
        if size > self.send_window or size > self._frame:
            return self._send_in_frames(memoryview(data)[: self.send_window])
        if size:
            self.send_window -= size
            self._out.append(_pack(VERSION, _DATA, 0, self.id, size))
            self._out.append(data)
        return size

    def _send_in_frames(self, data: memoryview) -> int:
        for start in range(0, len(data), self._frame):
            piece = data[start : start + self._frame]
            self._out.append(_pack(VERSION, _DATA, 0, self.id, len(piece)))
            self._out.append(piece)
        self.send_window -= len(data)
        return len(data)

    def consumed(self, size: int) -> None:
        """Tell that so many received bytes need no more room; half a window of them is announced at once."""
        if self.gone or self._discarding:
            return
        self._connection.unread -= size
        self._credit += size
        if self._credit * 2 >= self._window and not self.remote_ended:
            self._out.append(self._window_update(0))

    def discard(self) -> None:
        """Tell that nobody will consume what was received, or still comes: it needs no room, and earns no credit."""
        if not self.gone and not self._discarding:
            self._connection.unread -= self.unread
            self._discarding = True

    def end(self) -> None:
        """Send nothing more; idempotent. With it goes the credit for all that was consumed."""
        if self.local_ended or self.gone:
            return
        self._out.append(self._window_update(_FIN))
        self.local_ended = True
        self._connection.ended(self)

    def reset(self) -> None:
        """Give the stream up in both directions; idempotent. With it goes the credit for all that was consumed."""
        if not self.gone:
            self._out.append(self._window_update(int(Flag.RST)))
            self._forget()

    def _window_update(self, flags: int) -> bytes:
        # push-back makes the credit negative for a moment; the protocol can only say zero or more
        credit = max(self._credit, 0)
        self._credit -= credit
        self.receive_window += credit
        return encode(FrameType.WINDOW_UPDATE, flags, self.id, credit)

    # ---- what the other end did, told by the connection

    @property
    def unread(self) -> int:
        """Bytes announced by the other end and not consumed yet."""
        return self._window - self.receive_window - self._credit

    def take(self, size: int) -> None:
        """Account for a data frame's payload.

        Raises:
            RemoteProtocolError: It is more than the window, or comes after the stream's end.
        """
        if self.remote_ended:
            raise RemoteProtocolError(f"data on stream {self.id} after its end")
        if size > self.receive_window:
            raise RemoteProtocolError(f"stream {self.id}: {size} bytes for a window of {self.receive_window}")
        self.receive_window -= size
        if not self._discarding:
            self._connection.unread += size

    def grant(self, size: int, *, initial: bool) -> None:
        """Open the send window; all but the ``initial`` grant, which comes with SYN or ACK, is for bytes consumed.

        Raises:
            RemoteProtocolError: The window would be larger than its field.
        """
        self.send_window += size
        if self.send_window > LARGEST_WINDOW:
            raise RemoteProtocolError(f"stream {self.id}: a window of {self.send_window} bytes")
        if not initial:
            self._credited += size

    def end_remotely(self) -> None:
        """The other end sends nothing more.

        Raises:
            RemoteProtocolError: It had said so before.
        """
        if self.remote_ended:
            raise RemoteProtocolError(f"stream {self.id} ended twice")
        self.remote_ended = True
        self.delivered = self._credited
        self._connection.ended(self)

    def reset_remotely(self) -> None:
        """The other end gave the stream up."""
        if self.delivered is None:
            self.delivered = self._credited
        self._forget()

    def _forget(self) -> None:
        self.discard()
        self.gone = True
        self._connection.ended(self)
