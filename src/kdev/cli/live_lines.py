"""One line for each request, though two tell of it: the agent that mirrored it, and the local process that answered.

The agent's word comes some tenths of a second late, in batches and for a bounded number of requests per second; the
answer comes when it comes. Whichever is first waits a moment for the other. A request without an answer is told
alone, and its answer later; an answer to a request that the agent left out is left out, too.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from kdev.session import news

WAIT = 1.0
"""Seconds that one half of a line waits for the other; agents report five times in a second."""

MAX_WAITING = 200
"""Halves of lines that wait: what agents report of four pods in a second. More nobody reads."""

Traffic = news.RequestSeen | news.RequestAnswered

_Key = tuple[int, str, str]


class LiveLines:
    """Pairs what is told of each request, in the order of requests that look the same.

    Args:
        write: Takes each line.
    """

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._waiting: deque[tuple[_Key, Traffic, asyncio.TimerHandle]] = deque()
        self._unanswered: deque[_Key] = deque(maxlen=MAX_WAITING)

    def hear(self, item: Traffic) -> None:
        """Take one half of a line, or a whole one."""
        if isinstance(item, news.RequestSeen) and item.action != "mirrored":
            self._write(_line(item, ""))
            return
        key = _key(item)
        for entry in self._waiting:
            if entry[0] == key and type(entry[1]) is not type(item):
                self._waiting.remove(entry)
                entry[2].cancel()
                self._pair(entry[1], item)
                return
        if isinstance(item, news.RequestAnswered) and key in self._unanswered:
            self._unanswered.remove(key)
            self._write(_columns("answered", _status(item), item.method, item.target))
        else:
            self._wait(key, item)

    def flush(self) -> None:
        """Write what waits."""
        while self._waiting:
            _, item, timer = self._waiting.popleft()
            timer.cancel()
            self._alone(item)

    def _wait(self, key: _Key, item: Traffic) -> None:
        if len(self._waiting) == MAX_WAITING:
            self._expire()
        timer = asyncio.get_running_loop().call_later(WAIT, self._expire)
        self._waiting.append((key, item, timer))

    def _expire(self) -> None:
        """The oldest has waited long enough."""
        _, item, timer = self._waiting.popleft()
        timer.cancel()
        self._alone(item)

    def _pair(self, first: Traffic, second: Traffic) -> None:
        seen, answered = (first, second) if isinstance(first, news.RequestSeen) else (second, first)
        assert isinstance(seen, news.RequestSeen)
        assert isinstance(answered, news.RequestAnswered)
        self._write(_line(seen, _status(answered)))

    def _alone(self, item: Traffic) -> None:
        if isinstance(item, news.RequestSeen):
            self._unanswered.append(_key(item))
            self._write(_line(item, "..."))


def _key(item: Traffic) -> _Key:
    """What both halves know: agents report paths without their query."""
    target = item.path if isinstance(item, news.RequestSeen) else item.target
    return item.port, item.method, target.partition("?")[0]


def _status(item: news.RequestAnswered) -> str:
    return "-" if item.status is None else str(item.status)


def _line(item: news.RequestSeen, status: str) -> str:
    text = f"{_columns(item.action, status, item.method, item.path)}  ({item.pod}:{item.port})"
    return text + (f": {_printable(item.detail)}" if item.detail else "")


def _columns(action: str, status: str, method: str, target: str) -> str:
    return f"  {action:<9} {status:>3}  {_printable(method)} {_printable(target)}"


def _printable(text: str) -> str:
    """What came from the network, without what would steer a terminal."""
    return text if text.isprintable() else "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
