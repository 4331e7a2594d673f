"""The developer's process as a child."""

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from kdev.errors import LocalFailure
from kdev.layer import child


async def test_exit_code() -> None:
    """Its exit code is passed on, and its environment is the one it was given."""
    running = await child.start([sys.executable, "-c", "import os; exit(int(os.environ['CODE']))"], {"CODE": "7"})
    assert await running.wait() == 7
    assert not running.running


async def test_ended_by_a_signal() -> None:
    """A process that a signal ended has the exit code a shell would give."""
    running = await child.start(["sleep", "60"], os.environ)
    running.send(signal.SIGTERM)
    assert await running.wait() == 128 + signal.SIGTERM
    running.send(signal.SIGTERM)  # nobody is hit


async def test_end_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that does not end when it is asked to is killed."""
    monkeypatch.setattr(child, "_GRACE", 0.05)
    script = "trap '' TERM; echo; while :; do sleep 60; done"
    reading, writing = os.pipe()
    before = os.dup(1)
    os.dup2(writing, 1)
    try:
        running = await child.start(["sh", "-c", script], os.environ)
    finally:
        os.dup2(before, 1)
        for descriptor in (before, writing):
            os.close(descriptor)
    os.read(reading, 1)  # the trap is set
    os.close(reading)
    assert await running.end() == 128 + signal.SIGKILL


@pytest.mark.parametrize("foreground", [True, False])
async def test_ctrl_c_reaches_it_once(foreground: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the terminal has sent to both is not sent again; what was sent to kdev alone is passed on."""
    monkeypatch.setattr(child, "_in_foreground", lambda: foreground)
    running = await child.start(["sleep", "60"], os.environ)
    running.pass_on(signal.SIGINT)
    if foreground:
        running.pass_on(signal.SIGTERM)
    async with asyncio.timeout(5):
        assert await running.wait() == 128 + (signal.SIGTERM if foreground else signal.SIGINT)


@pytest.mark.parametrize("command", ["/does/not/exist", "/etc/passwd", "/"])
async def test_what_cannot_be_started(command: str) -> None:
    """A program that is not there, or is none, is told."""
    with pytest.raises(LocalFailure) as raised:
        await child.start([command], {})
    assert raised.value.explanation.reference == "command-not-started"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent has died")
def test_it_does_not_outlive_kdev() -> None:
    """When kdev is killed, its child is asked to end, and so frees the port it listens on."""
    script = "import signal,sys; signal.signal(signal.SIGTERM, lambda *_: (print('freed', flush=True), sys.exit()))"
    serve = f"{script}; print('up', flush=True); signal.pause()"
    kdev = (
        "import asyncio, os, sys; from kdev.layer import child\n"
        f"async def main(): await (await child.start([sys.executable, '-c', {serve!r}], os.environ)).wait()\n"
        "asyncio.run(main())"
    )
    with subprocess.Popen([sys.executable, "-c", kdev], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "up\n"
        running.kill()
        assert running.stdout.read() == "freed\n"


async def test_signals_are_as_a_shell_would_leave_them() -> None:
    """The process ignores no signal that kdev's interpreter ignores."""
    script = "kill -PIPE $$"
    assert await (await child.start(["sh", "-c", script], os.environ)).wait() == 128 + signal.SIGPIPE
