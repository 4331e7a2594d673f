"""``kdev shadow`` on a terminal: Ctrl-C, and what a shell does to a job."""

import asyncio
import os
import pty
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest_asyncio

from kdev.tunnel.messages import Detach
from tests.integration.cli.conftest import Kdev

PROCESS = """
import signal, sys
def interrupted(number, frame):
    print("process: SIGINT", flush=True)
    {then}
signal.signal(signal.SIGINT, interrupted)
signal.signal(signal.SIGCONT, lambda *_: print("process: SIGCONT", flush=True))
print("process: up", flush=True)
while True:
    signal.pause()
"""
CTRL_C = b"\x03"


@dataclass
class Terminal:
    """A terminal with one foreground job, as a shell would have started it."""

    kdev: Kdev
    master: int = -1
    pid: int = 0
    screen: str = ""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self, *arguments: str) -> None:
        """Start ``kdev`` as the leader of the terminal's session and of its foreground group."""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            os.execve(sys.executable, [sys.executable, "-m", "kdev.cli", *arguments], self.kdev.environment)
        asyncio.get_running_loop().add_reader(self.master, self._read)

    def _read(self) -> None:
        try:
            self.screen += os.read(self.master, 65536).decode()
        except OSError:  # nobody holds the terminal any more
            asyncio.get_running_loop().remove_reader(self.master)
        self.changed.set()

    def press(self, key: bytes) -> None:
        """Type a key."""
        os.write(self.master, key)

    async def until(self, text: str, times: int = 1) -> None:
        """Wait for something on the screen."""
        async with asyncio.timeout(20):
            while self.screen.count(text) < times:
                self.changed.clear()
                await self.changed.wait()

    async def exit_code(self) -> int:
        """What it ended with."""
        _, status = await asyncio.to_thread(os.waitpid, self.pid, 0)
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


@pytest_asyncio.fixture
async def terminal(kdev: Kdev) -> AsyncIterator[Terminal]:
    """A terminal whose job is ended with the test."""
    one = Terminal(kdev)
    yield one
    asyncio.get_running_loop().remove_reader(one.master)
    if one.pid:
        os.kill(one.pid, signal.SIGKILL)
        await one.exit_code()
    os.close(one.master)


def process(then: str) -> tuple[str, ...]:
    """A command that is told of Ctrl-C."""
    return ("--", sys.executable, "-c", PROCESS.format(then=then))


async def test_ctrl_c(terminal: Terminal) -> None:
    """Ctrl-C reaches the process once, its exit code is kdev's, and the pod is handed back."""
    terminal.start("shadow", "deploy/checkout", *process("sys.exit(42)"))
    await terminal.until("process: up")
    terminal.press(CTRL_C)
    assert await terminal.exit_code() == 42
    assert terminal.screen.count("process: SIGINT") == 1
    assert "(the process ended with exit code 42)" in terminal.screen
    assert isinstance(terminal.kdev.agent.told[-1], Detach)
    assert "Traceback" not in terminal.screen


async def test_ctrl_c_twice(terminal: Terminal) -> None:
    """A process that does not mind Ctrl-C is ended when it is pressed twice in a row."""
    terminal.start("shadow", "deploy/checkout", *process("pass"))
    await terminal.until("process: up")
    terminal.press(CTRL_C)
    await terminal.until("process: SIGINT")
    terminal.press(CTRL_C)
    await terminal.until("(interrupted twice)")
    assert await terminal.exit_code() == 128 + signal.SIGTERM
    assert isinstance(terminal.kdev.agent.told[-1], Detach)


async def test_back_in_the_foreground(terminal: Terminal) -> None:
    """What a shell sends to the whole job when it goes on after Ctrl-Z reaches the process once."""
    terminal.start("shadow", "deploy/checkout", *process("sys.exit(42)"))
    await terminal.until("process: up")
    os.killpg(terminal.pid, signal.SIGCONT)
    await terminal.until("process: SIGCONT")
    terminal.press(CTRL_C)
    assert await terminal.exit_code() == 42
    assert terminal.screen.count("process: SIGCONT") == 1
