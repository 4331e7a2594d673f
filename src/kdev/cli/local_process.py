"""The developer's process and the signals that kdev receives while it runs."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator

from kdev.layer import child
from kdev.session.runner import Session

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")
_PASSED_ON = ("SIGUSR1", "SIGUSR2", "SIGWINCH", "SIGCONT")

TWICE_WITHIN = 1.0
"""Seconds between two Ctrl-C of somebody who wants it to end whatever the process makes of it. A debugger's or a
shell's user presses it more slowly: each time there is something to read first."""


class LocalProcess:
    """Starts the command when the session asks for it.

    While it runs, signals are its business: it ends, and the session after it; Ctrl-C twice in a row ends both. Before
    that, and without a command, a signal that means "end" ends the session; a second one, at once.
    """

    def __init__(self, command: tuple[str, ...]) -> None:
        self._command = command
        self._child: child.Child | None = None
        self._starting = False
        self._early: list[signal.Signals] = []
        self._interrupted_at = float("-inf")

    async def start(self) -> child.Child:
        """Start it.

        Raises:
            LocalFailure: It cannot be started.
        """
        self._starting = True
        self._child = await child.start(self._command, os.environ)
        for number in self._early:
            self._child.pass_on(number)
        return self._child

    @contextlib.contextmanager
    def signals(self, session: Session) -> Iterator[None]:
        """Handle signals while the session runs."""
        if sys.platform == "win32":
            yield  # Ctrl-C reaches the child by itself and kdev as KeyboardInterrupt
            return
        loop = asyncio.get_running_loop()
        numbers = [signal.Signals[name] for name in (*_ENDING, *_PASSED_ON)]
        for number in numbers:
            loop.add_signal_handler(number, self._received, number, session)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)

    def _received(self, number: signal.Signals, session: Session) -> None:
        if self._starting and self._child is None:
            self._early.append(number)  # it exists, and the loop has not been told yet
        elif self._child is not None and self._child.running:
            self._child.pass_on(number)
            if number is signal.SIGINT and self._again():
                session.stop("interrupted twice")
        elif number.name in _ENDING:
            session.stop(f"interrupted by {number.name}")

    def _again(self) -> bool:
        """Whether this is the second Ctrl-C in a row."""
        before, self._interrupted_at = self._interrupted_at, time.monotonic()
        return self._interrupted_at - before < TWICE_WITHIN
