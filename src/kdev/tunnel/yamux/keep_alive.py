"""Whether the other end is still there: when to ping it, and when to give it up. No clock of its own."""

from enum import Enum


class Verdict(Enum):
    """What to do after an interval has passed."""

    PING = "ping"
    DEAD = "dead"


class KeepAlive:
    """Counts intervals in which nothing was heard, and measures the round trip.

    Attributes:
        interval: Seconds between two calls of ``tick``. Proxies and load balancers on the way to a cluster drop
            connections that are silent for a minute or so.
        round_trip: Seconds from the last answered ping to its answer; None before the first.
    """

    def __init__(self, interval: float = 15.0, misses: int = 3) -> None:
        self.interval = interval
        self.round_trip: float | None = None
        self._misses = misses
        self._silent = 0
        self._value = 0
        self._sent_at: float | None = None

    @property
    def value(self) -> int:
        """What the ping to be sent carries, so that a late answer is not taken for that of a later ping."""
        return self._value

    def heard(self) -> None:
        """Something arrived: whoever sends is alive, even if an answer is stuck behind a large transfer."""
        self._silent = 0

    def tick(self, now: float) -> Verdict:
        """An interval has passed: ping, or give up after ``misses`` pings that nothing at all came back on."""
        if self._silent >= self._misses:
            return Verdict.DEAD
        self._silent += 1
        self._value = (self._value + 1) & 0xFFFF_FFFF
        self._sent_at = now
        return Verdict.PING

    def answered(self, value: int, now: float) -> None:
        """A ping's answer arrived."""
        if value == self._value and self._sent_at is not None:
            self.round_trip = now - self._sent_at
            self._sent_at = None
