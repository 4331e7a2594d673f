"""Network namespaces for tests: held by a descriptor alone, so that nothing is left when it closes."""

import contextlib
import ctypes
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)

Result = TypeVar("Result")


@dataclass(frozen=True)
class Namespace:
    """A network namespace; ``descriptor`` keeps it alive."""

    descriptor: int

    def run(self, *command: str) -> str:
        """A command's output, run inside; fails the test with what it said."""
        entered = [*self.entering(), *command]
        done = subprocess.run(entered, pass_fds=[self.descriptor], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def entering(self) -> list[str]:
        """What a command's arguments begin with so that it runs inside; pass the descriptor to the process."""
        return ["nsenter", f"--net=/proc/self/fd/{self.descriptor}"]

    def call(self, function: Callable[[], Result]) -> Result:
        """What a function returns, called by a thread that is inside: sockets that it makes stay inside."""
        results: list[Result] = []
        errors: list[Exception] = []

        def inside() -> None:
            try:
                _checked(_LIBC.setns(self.descriptor, _CLONE_NEWNET))
                results.append(function())
            except Exception as error:  # noqa: BLE001 - carried over to the calling thread
                errors.append(error)

        thread = threading.Thread(target=inside)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]


@contextlib.contextmanager
def new_namespace() -> Iterator[Namespace]:
    """A namespace of its own, with nothing in it but a loopback interface that is down."""
    opened: list[int] = []

    def unshare() -> None:
        _checked(_LIBC.unshare(_CLONE_NEWNET))
        opened.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

    thread = threading.Thread(target=unshare)
    thread.start()
    thread.join()
    try:
        yield Namespace(opened[0])
    finally:
        os.close(opened[0])


def _checked(result: int) -> None:
    if result != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
