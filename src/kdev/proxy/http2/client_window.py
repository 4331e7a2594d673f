"""The client's connection window, used by two senders of which only one knows it.

The pod's server keeps count of the client's connection window by itself: it sees the WINDOW_UPDATEs and its own DATA.
It does not see that stolen streams' answers use the same window. So there is a *debt*: what stolen answers have used
and the client has not yet given back. Credit of the client pays the debt first and only the rest reaches the pod; DATA
of the pod that finds no room meanwhile is held here, in order, and is never more than the debt.
"""

from collections import deque
from typing import NamedTuple

from kdev.proxy.http2.frames import DEFAULT_WINDOW, HEAD_SIZE, LARGEST, split_data


class _Held(NamedTuple):
    stream_id: int
    cost: int
    frame: bytes


class ClientWindow:
    """Accounts for one client's connection window; what may be sent goes to ``out``.

    Always: room == (what the pod believes the room is) + (the pod's bytes held) - debt.

    Attributes:
        out: What the client is to be sent.
        room: Bytes of DATA the client takes now.
        holding: Whether anything of the pod's waits; it costs less than asking the queue for each frame.
        held_bytes: The pod's DATA waiting for room.
    """

    def __init__(self, out: list[bytes]) -> None:
        self.room = DEFAULT_WINDOW
        self.holding = False
        self.held_bytes = 0
        self.out = out
        self._debt = 0
        self._held: deque[_Held] = deque()
        self._blocked: dict[int, int] = {}

    def blocks(self, stream_id: int) -> bool:
        """Whether frames of this stream wait, so that later ones of it must wait behind them."""
        return stream_id in self._blocked

    def hold(self, stream_id: int, cost: int, frame: bytes) -> None:
        """Keep a frame of the pod behind what is held already; ``cost`` is its length if it is DATA, else 0."""
        self._held.append(_Held(stream_id, cost, frame))
        self.holding = True
        self._blocked[stream_id] = self._blocked.get(stream_id, 0) + 1
        self.held_bytes += cost
        self.release()

    def spend(self, cost: int) -> None:
        """Count DATA of a stolen answer that is being sent to the client."""
        self.room -= cost
        self._debt += cost

    def credit(self, increment: int) -> int:
        """Take a WINDOW_UPDATE of the client, and send what now fits.

        Returns:
            How much of it the pod may be told; 0 if nothing.
        """
        self.room += increment
        paid = min(increment, self._debt)
        self._debt -= paid
        self.release()
        return increment - paid

    def release(self) -> None:
        """Send what was held, as far as there is room."""
        while self._held:
            stream_id, cost, frame = self._held[0]
            if cost > self.room:
                parts = split_data(frame, min(self.room, LARGEST))
                if parts is None:
                    return
                frame, rest = parts
                cost = len(frame) - HEAD_SIZE
                self._held[0] = _Held(stream_id, len(rest) - HEAD_SIZE, rest)
            else:
                self._held.popleft()
                self._unblock(stream_id)
            self.out.append(frame)
            self.room -= cost
            self.held_bytes -= cost
        self.holding = False

    def forget(self, stream_id: int) -> None:
        """Drop the frames of a stream that the client has reset.

        The pod has counted their bytes as sent, and the client will never give credit for them: the debt shrinks.
        """
        if stream_id not in self._blocked:
            return
        dropped = sum(held.cost for held in self._held if held.stream_id == stream_id)
        self._held = deque(held for held in self._held if held.stream_id != stream_id)
        self.holding = bool(self._held)
        del self._blocked[stream_id]
        self.held_bytes -= dropped
        self._debt -= dropped

    def _unblock(self, stream_id: int) -> None:
        self._blocked[stream_id] -= 1
        if not self._blocked[stream_id]:
            del self._blocked[stream_id]
