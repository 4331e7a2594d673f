"""A container's standard output and error: one pipe into its log."""

import asyncio
import contextlib
import os
from typing import Self

from kdev.sandbox.logs import Log

LINE_LIMIT = 16 << 10
"""Bytes after which a line is cut in two, as the container runtime interface does."""

DRAIN = 1.0
"""Seconds that output may come after the first process ended: a child that keeps the pipe open must not hold us."""


class LogPipe(asyncio.Protocol):
    """Cuts what comes out of a container's pipe into a log's lines."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._begun = b""
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Take the pipe's next bytes."""
        *whole, begun = (self._begun + data).split(b"\n")
        for line in whole:
            self._log.append(line + b"\n")
        while len(begun) >= LINE_LIMIT:
            self._log.append(begun[:LINE_LIMIT])
            begun = begun[LINE_LIMIT:]
        self._begun = begun

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio.Protocol
        """Every process that held the pipe has ended."""
        if self._begun:
            self._log.append(self._begun)
        if not self.ended.done():
            self.ended.set_result(None)


class Output:
    """The pipe of one run.

    Attributes:
        null: Descriptor of an empty standard input.
        write_end: Descriptor that the container writes to.
    """

    def __init__(self, log: Log, write_end: int) -> None:
        self.null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        self.write_end = write_end
        self._log = log
        self._pipe = LogPipe(log)
        self._transport: asyncio.ReadTransport | None = None

    @classmethod
    async def open(cls, log: Log) -> Self:
        """Begin to read into a log."""
        read_end, write_end = os.pipe()
        output = cls(log, write_end)
        reader = os.fdopen(read_end, "rb", buffering=0)
        output._transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: output._pipe, reader)
        return output

    def close_write_end(self) -> None:
        """Let go of our copies, so that the container's end is the pipe's end."""
        os.close(self.write_end)
        os.close(self.null)

    async def drained(self) -> None:
        """Wait for what is still in the pipe, then close the log."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN):
                await asyncio.shield(self._pipe.ended)
        self.close()

    def close(self) -> None:
        """Read no more; the log is complete."""
        if self._transport is not None:
            self._transport.close()
        self._log.close()
