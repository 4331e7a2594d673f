r"""The developer's process as an ordinary child: it keeps the terminal, its signals, and its exit code is kdev's.

It stays in kdev's process group. What the terminal sends (Ctrl-C, Ctrl-Z, Ctrl-\) therefore reaches it directly, and
is not sent again; what is sent to kdev alone is passed on.
"""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kdev.errors import LocalFailure

_GRACE = 5.0
"""Seconds for a process to end by itself; nobody watches it any more."""

_PARENT_DEATH = str(Path(__file__).with_name("parent_death.py"))

_FROM_TERMINAL = frozenset(("SIGINT", "SIGQUIT", "SIGTSTP", "SIGWINCH", "SIGCONT"))
"""What a terminal, or the shell that brings a job to the foreground, sends to the whole process group."""


class Child:
    """A running process; made by ``start``."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def wait(self) -> int:
        """Its exit code as a shell would give it: 128 + the signal's number when a signal ended it."""
        code = await self._process.wait()
        return 128 - code if code < 0 else code

    async def end(self) -> int:
        """Ask it to end, and end it by force when it does not; its exit code as from ``wait``."""
        self.send(signal.SIGTERM)
        try:
            async with asyncio.timeout(_GRACE):
                return await self.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            return await self.wait()

    def pass_on(self, number: signal.Signals) -> None:
        """Give it a signal that kdev received, unless the terminal has sent it to both."""
        if number.name in _FROM_TERMINAL and _in_foreground():
            return
        self.send(number)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; one that has ended already gets none."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)


async def start(command: Sequence[str], environment: Mapping[str, str]) -> Child:
    """Start the process with kdev's own standard streams and directory.

    On Linux it is sent SIGTERM when kdev dies without having ended it: nobody else would free the port it listens on.

    Raises:
        LocalFailure: There is no such program, or it may not be run.
    """
    run = _run_bound if sys.platform == "linux" else _run
    try:
        return Child(await run(command, dict(environment)))
    except (OSError, ValueError) as error:
        raise LocalFailure(
            "command-not-started",
            f"'{command[0]}' cannot be started",
            seen=str(error),
            advice="try the command by itself; everything after '--' is run as it stands, without a shell",
        ) from error


async def _run(command: Sequence[str], environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(*command, env=environment)


async def _run_bound(command: Sequence[str], environment: Mapping[str, str]) -> asyncio.subprocess.Process:
    """Start it bound to kdev's life; see ``parent_death``."""
    if any("\0" in word for word in command):
        raise ValueError("embedded null byte")
    reading, writing = os.pipe()
    try:
        try:
            binding = (sys.executable, "-I", "-S", _PARENT_DEATH, str(writing), str(os.getpid()))
            process = await asyncio.create_subprocess_exec(*binding, *command, env=environment, pass_fds=(writing,))
        finally:
            os.close(writing)
        await _readable(reading)  # it was executed, or could not be
        failed = os.read(reading, 16)
    finally:
        os.close(reading)
    if failed:
        await process.wait()
        raise OSError(int(failed), os.strerror(int(failed)), command[0])
    return process


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def _in_foreground() -> bool:
    """Whether the terminal sends its signals to kdev's process group, and so to the child."""
    if sys.platform == "win32":
        return True  # the console sends Ctrl-C to every process attached to it
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)
