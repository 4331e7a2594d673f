"""Running a program of this terminal inside a pod: ``kdev sandbox exec`` and ``kdev sandbox curl``.

The program is started by the command itself, not through the API: it keeps the terminal, its signals and its exit
code without anything in between.
"""

import os
import signal
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from kdev.sandbox.namespaces import Namespace
from kdev.sandbox.syscalls import Clone

_KINDS = (Clone.NEWNET, Clone.NEWUTS, Clone.NEWIPC, Clone.NEWPID, Clone.NEWNS)
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom the program runs as."""

    uid: int
    gid: int

    @classmethod
    def of_process(cls, pid: int) -> "Owner":
        """The user and group of a process."""
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        fields = {line.split(":")[0]: line.split() for line in lines}
        return cls(int(fields["Uid"][1]), int(fields["Gid"][1]))


def run_inside(pid: int, command: Sequence[str], owner: Owner) -> int:
    """Run a program in all namespaces of a process, with its environment; the exit code, as a shell gives it.

    For a process with a single thread, since it enters the namespaces itself and does not come back.

    Raises:
        OSError: The process has ended, or the right to enter is missing.
    """
    variables = _environment(pid)
    with ExitStack() as opened:
        for namespace in [opened.enter_context(Namespace.of_process(kind, pid)) for kind in _KINDS]:
            namespace.enter()
    child = os.fork()
    if child == 0:
        _become(command, owner, variables)
    ours = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGQUIT)}
    try:
        _, status = os.waitpid(child, 0)
    finally:
        for number, handler in ours.items():
            signal.signal(number, handler)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _become(command: Sequence[str], owner: Owner, variables: dict[str, str]) -> NoReturn:
    """In the child: give up what the program shall not have, and execute it."""
    try:
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.setgroups([owner.gid])
        os.setresgid(owner.gid, owner.gid, owner.gid)
        os.setresuid(owner.uid, owner.uid, owner.uid)
        os.chdir("/")
        os.environ.clear()
        os.environ.update(variables)
        os.execvpe(command[0], list(command), variables)  # noqa: S606 - what this is for
    except OSError as error:
        os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)


def _environment(pid: int) -> dict[str, str]:
    """A process's variables as it was started, and this terminal's kind."""
    entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if b"=" in entry)
    variables = {name: value for name, _, value in pairs}
    return variables | ({"TERM": os.environ["TERM"]} if "TERM" in os.environ else {})
