"""Programs started in running containers: exec probes, and the API's exec with its streams or its terminal."""

import asyncio
import fcntl
import os
import signal
import struct
import termios
from collections.abc import Sequence

from kdev.sandbox.container import Container
from kdev.sandbox.interface import Input
from kdev.sandbox.processes import Process, launch


async def run_to_end(container: Container, command: Sequence[str]) -> int:
    """Run a program without input or output; its exit code."""
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    try:
        with container.joining(command, terminal=False) as plan:
            process = await launch(plan, stdin=null, stdout=null, stderr=null)
    finally:
        os.close(null)
    try:
        return await process.wait()
    except asyncio.CancelledError:
        process.signal(signal.SIGKILL)
        raise


class Execution:
    """A program with streams (``interface.ExecProcess``)."""

    def __init__(
        self,
        process: Process,
        streams: tuple[Input | None, asyncio.StreamReader, asyncio.StreamReader | None],
        terminal: int | None,
    ) -> None:
        self.stdin, self.stdout, self.stderr = streams
        self._process = process
        self._terminal = terminal

    def resize(self, columns: int, rows: int) -> None:
        """Set the terminal's size."""
        if self._terminal is not None:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        """The exit code."""
        code = await self._process.wait()
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None
        if self.stdin is not None:
            self.stdin.close()
        return code

    def kill(self) -> None:
        """End it now, and its streams."""
        self._process.signal(signal.SIGKILL)
        if self.stdin is not None:
            self.stdin.close()


async def execute(container: Container, command: Sequence[str], *, stdin: bool) -> Execution:
    """Start a program with pipes."""
    outputs = [os.pipe(), os.pipe()]
    source = os.pipe() if stdin else (os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC), None)
    try:
        with container.joining(command, terminal=False) as plan:
            process = await launch(plan, stdin=source[0], stdout=outputs[0][1], stderr=outputs[1][1])
    except BaseException:
        for descriptor in (outputs[0][0], outputs[1][0], source[1]):
            if descriptor is not None:
                os.close(descriptor)
        raise
    finally:
        for descriptor in (outputs[0][1], outputs[1][1], source[0]):
            os.close(descriptor)
    writer = None if source[1] is None else await _writer(source[1])
    return Execution(process, (writer, await _reader(outputs[0][0]), await _reader(outputs[1][0])), None)


async def execute_in_terminal(container: Container, command: Sequence[str], *, stdin: bool) -> Execution:
    """Start a program with a terminal of its own."""
    ours, theirs = os.openpty()
    try:
        with container.joining(command, terminal=True) as plan:
            process = await launch(plan, stdin=theirs, stdout=theirs, stderr=theirs)
    except BaseException:
        os.close(ours)
        raise
    finally:
        os.close(theirs)
    control = os.dup(ours)
    typed = TerminalInput(os.dup(ours)) if stdin else None
    return Execution(process, (typed, await _reader(ours), None), control)


class TerminalInput:
    """What is typed at a terminal.

    Written without a transport: uvloop's for writing reads as well, to notice a pipe's end, and would swallow what
    the terminal prints.
    """

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._waiting = bytearray()

    def write(self, data: bytes | memoryview) -> None:
        """Type; what the program does not take yet waits."""
        self._waiting += data
        self._flush()

    def close(self) -> None:
        """Type no more."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _flush(self) -> None:
        if self._descriptor < 0:
            return
        try:
            del self._waiting[: os.write(self._descriptor, self._waiting)]
        except BlockingIOError:
            pass
        except OSError:  # nobody has the terminal any more
            self.close()
            return
        if self._waiting:
            asyncio.get_running_loop().add_writer(self._descriptor, self._flush)
        else:
            asyncio.get_running_loop().remove_writer(self._descriptor)


async def _reader(descriptor: int) -> asyncio.StreamReader:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(loop=loop)
    pipe = os.fdopen(descriptor, "rb", buffering=0)
    await loop.connect_read_pipe(lambda: _TerminalEnd(reader, loop=loop), pipe)
    return reader


async def _writer(descriptor: int) -> asyncio.StreamWriter:
    loop = asyncio.get_running_loop()
    pipe = os.fdopen(descriptor, "wb", buffering=0)
    transport, protocol = await loop.connect_write_pipe(lambda: asyncio.streams.FlowControlMixin(loop), pipe)
    return asyncio.StreamWriter(transport, protocol, None, loop)


class _TerminalEnd(asyncio.StreamReaderProtocol):
    """Takes the error that a terminal gives once its last program has ended (EIO) for the end that it is."""

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(None if isinstance(exc, OSError) else exc)
