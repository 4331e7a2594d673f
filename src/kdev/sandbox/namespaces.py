"""Namespaces without names: each lives as long as a descriptor or a process holds it, so a crash leaves none behind."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from kdev.sandbox.syscalls import Clone, setns, unshare

_FILES = {Clone.NEWNET: "net", Clone.NEWUTS: "uts", Clone.NEWIPC: "ipc", Clone.NEWPID: "pid", Clone.NEWNS: "mnt"}


@dataclass(frozen=True, slots=True)
class Namespace:
    """One namespace, held by a descriptor.

    Attributes:
        kind: Which of the kernel's namespaces it is.
        descriptor: The open file that keeps it alive.
    """

    kind: Clone
    descriptor: int

    @classmethod
    def create(cls, kind: Clone) -> Self:
        """Make a fresh one; the calling thread is back in its own when this returns."""
        own = _open(kind)
        try:
            unshare(kind)
            try:
                return cls(kind, _open(kind))
            finally:
                setns(own, kind)
        finally:
            os.close(own)

    @classmethod
    def of_process(cls, kind: Clone, pid: int) -> Self:
        """The one that a process is in."""
        return cls(kind, os.open(f"/proc/{pid}/ns/{_FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC))

    def enter(self) -> None:
        """Put the calling thread into it for good; of a process namespace, its children."""
        setns(self.descriptor, self.kind)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Put the calling thread into it for a moment; no ``await`` inside."""
        own = _open(self.kind)
        try:
            setns(self.descriptor, self.kind)
            try:
                yield
            finally:
                setns(own, self.kind)
        finally:
            os.close(own)

    def socket(self, family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        """A non-blocking socket born inside, where it stays whoever uses it."""
        with self.entered():
            made = socket.socket(family, kind)
        made.setblocking(False)
        return made

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        os.close(self.descriptor)


def _open(kind: Clone) -> int:
    return os.open(f"/proc/thread-self/ns/{_FILES[kind]}", os.O_RDONLY | os.O_CLOEXEC)
