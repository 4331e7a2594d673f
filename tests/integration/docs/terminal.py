"""A reader's terminal: a shell that is typed into, and what it shows."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

WITHIN = 60.0
"""Seconds after which a command has hung."""

_DONE = "--- the command has ended ---"


class Terminal:
    """One shell, with its output collected as it comes. Use as a context manager."""

    def __init__(self, directory: Path, environment: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        )
        self._changed = threading.Condition()
        self._output = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        self._shell.stdin.close()
        for process in self._running():
            os.kill(process, signal.SIGINT)
        try:
            self._shell.wait(WITHIN)
        finally:
            self._shell.kill()
            self._shell.wait()
            self._reader.join()
            self._shell.stdout.close()

    @property
    def output(self) -> str:
        """All that was shown since the last command."""
        with self._changed:
            return self._output

    def type(self, command: str) -> None:
        """Type a command; do not wait for it."""
        assert self._shell.stdin is not None
        with self._changed:
            self._output = ""
        self._shell.stdin.write(f"{command}\necho '{_DONE}'\n")
        self._shell.stdin.flush()

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        for process in self._running():
            os.kill(process, signal.SIGINT)

    def wait_until_done(self) -> None:
        """Wait for the end of the last command."""
        self.wait_for(lambda output: _DONE in output)

    def wait_for(self, seen: Callable[[str], bool]) -> None:
        """Wait until the output since the last command is as it should be, or the deadline has come."""
        with self._changed:
            self._changed.wait_for(lambda: seen(self._output), WITHIN)

    def _running(self) -> list[int]:
        children = Path(f"/proc/{self._shell.pid}/task/{self._shell.pid}/children")
        return [int(pid) for pid in children.read_text().split()] if children.exists() else []

    def _read(self) -> None:
        assert self._shell.stdout is not None
        for line in self._shell.stdout:
            with self._changed:
                self._output += line
                self._changed.notify_all()
