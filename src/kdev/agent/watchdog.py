"""A thread that drops the tap when the event loop has stopped turning.

A loop that is stuck still holds the tap, so every new connection of the sidecar would wait in a queue that
nobody empties. A thread needs nothing from the loop to close the tap's socket, which is what drops it.
"""

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

STUCK_AFTER = 2.0
"""Seconds without a beat. The sidecar's own connect timeout is 10 s (Istio's default), and a garbage collection or
a suspended virtual machine can hold the loop for some hundred milliseconds without harm."""


class Watchdog:
    """Calls ``drop`` from its own thread when the running loop misses its beats; once, then it is spent."""

    def __init__(self, drop: Callable[[], None], *, stuck_after: float = STUCK_AFTER) -> None:
        self._drop = drop
        self._loop = asyncio.get_running_loop()
        self._stuck_after = stuck_after
        self._beaten = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._timer: asyncio.TimerHandle | None = None
        self._fired = asyncio.Event()

    def __enter__(self) -> Self:
        self._beat()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._ended.set()
        self._beaten.set()
        self._thread.join()

    async def fired(self) -> None:
        """Wait until the tap had to be dropped, and the loop turns again."""
        await self._fired.wait()

    def _beat(self) -> None:
        self._beaten.set()
        self._timer = self._loop.call_later(self._stuck_after / 4, self._beat)

    def _watch(self) -> None:
        while not self._ended.is_set():
            self._beaten.clear()
            if not self._beaten.wait(self._stuck_after) and not self._ended.is_set():
                self._drop()
                self._loop.call_soon_threadsafe(self._fired.set)
                return
