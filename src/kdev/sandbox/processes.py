"""Starting container processes and learning their ends, without forking the asyncio process's memory."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

from kdev.sandbox.plans import Plan
from kdev.sandbox.syscalls import Clone, unshare

_CREDENTIALS = struct.Struct("iII")
_SOURCE = str(Path(__file__).parents[2])


class LaunchError(Exception):
    """The program could not be started; the message is the system call's that refused."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class Process:
    """A running process that is this process's child though it was made by the launcher.

    Attributes:
        pid: Its number as this process and the host see it.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        self._ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(self._descriptor, self._collect)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process has ended."""
        if not self._ended.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    async def wait(self) -> int:
        """The exit code; 128 + the signal's number when a signal ended it."""
        return await asyncio.shield(self._ended)

    async def end(self, grace_seconds: float) -> int:
        """SIGTERM, after the grace period SIGKILL; the exit code."""
        self.signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(grace_seconds):
                return await self.wait()
        except TimeoutError:
            self.signal(signal.SIGKILL)
            return await self.wait()

    def _collect(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        _, status = os.waitpid(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        self._ended.set_result(code if code >= 0 else 128 - code)


def start_reaper() -> subprocess.Popen[bytes]:
    """Put all later children into a process namespace that ends with this process.

    Its first process does nothing but collect orphans. The kernel kills it when this process ends in any way, and
    with it everything in the namespace, containers' own process namespaces included.
    """
    unshare(Clone.NEWPID)
    reaper = subprocess.Popen(
        [sys.executable, "-S", "-s", "-m", "kdev.sandbox.reaper"],
        env={"PYTHONPATH": _SOURCE},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
    )
    assert reaper.stdout is not None
    if reaper.stdout.readline() != b"ready\n":
        raise OSError("the process namespace's first process did not start")
    return reaper


async def launch(plan: Plan, *, stdin: int, stdout: int, stderr: int) -> Process:
    """Start a program as the plan says; returns when it has been executed.

    Raises:
        LaunchError: It could not be.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs:
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        launcher = subprocess.Popen(  # noqa: ASYNC220 - a vfork, which takes less than a millisecond
            [sys.executable, "-S", "-s", "-m", "kdev.sandbox.launcher", str(theirs.fileno())],
            env={"PYTHONPATH": _SOURCE},
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=(theirs.fileno(), *plan.descriptors()),
        )
        theirs.close()
        starter = Process(launcher.pid)
        await asyncio.get_running_loop().sock_sendall(ours, json.dumps(plan.to_json()).encode())
        process, refusal = await _read_outcome(ours)
        await starter.wait()
        launcher.returncode = 0  # collected above; tells Popen not to look for it
    if refusal is None and process is not None:
        return process
    if process is not None:
        await process.wait()
    raise refusal or LaunchError(0, "the launcher ended without a word")


async def _read_outcome(channel: socket.socket) -> tuple[Process | None, LaunchError | None]:
    """The process once it has said who it is, and the error if it has one, until its side closes on exec."""
    process: Process | None = None
    refusal: LaunchError | None = None
    while True:
        message, sender = await _receive(channel)
        if not message:
            return process, refusal
        said = json.loads(message)
        if "errno" in said:
            refusal = LaunchError(said["errno"], said["message"])
        else:
            process = Process(sender)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)


async def _receive(channel: socket.socket) -> tuple[bytes, int]:
    """One message and its sender's pid in our numbering, which only the kernel can tell."""
    loop = asyncio.get_running_loop()
    readable: asyncio.Future[None] = loop.create_future()
    loop.add_reader(channel.fileno(), _wake, readable)
    try:
        await readable
    finally:
        loop.remove_reader(channel.fileno())
    message, ancillary, _, _ = channel.recvmsg(1 << 16, socket.CMSG_SPACE(_CREDENTIALS.size))
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            return message, _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
    return message, 0
