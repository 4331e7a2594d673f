"""What one sandbox put on the machine, and whether any of it is still there."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

SETTLED_WITHIN = 15.0
"""Seconds in which the kernel ends a process namespace of some dozen processes, also on a busy machine."""

_NAMESPACES = ("net", "uts", "ipc", "pid", "mnt")


@dataclass(frozen=True)
class Traces:
    """A sandbox's processes by number and start time: its own, and whoever else is in its namespaces.

    The namespaces themselves are not told by number, which the kernel gives to another sandbox's as soon as it is
    free. They have no names, so that they end with the last of these processes.
    """

    processes: frozenset[tuple[int, str]]

    @classmethod
    def of(cls, daemon: int) -> "Traces":
        """All that descends from a sandbox's process, or is where its descendants are."""
        parents = {pid: _stat(pid)[1] for pid in _pids()}
        family = {daemon}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        places = {link for pid in family - {daemon} for link in _namespaces_of(pid)}
        theirs = places - _namespaces_of(os.getpid()) - _namespaces_of(daemon)
        guests = {pid for pid in parents if theirs & _namespaces_of(pid)}
        return cls(frozenset((pid, _stat(pid)[0]) for pid in family | guests))

    def left(self) -> list[int]:
        """What is still there once the kernel has had its time."""
        deadline = time.monotonic() + SETTLED_WITHIN
        while (left := [pid for pid, started in self.processes if started and _stat(pid)[0] == started]) and (
            time.monotonic() < deadline
        ):
            time.sleep(0.1)
        return left


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def _stat(pid: int) -> tuple[str, int]:
    """A process's start time, which tells it from a later one of the same number, and its parent."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return "", 0
    return fields[19], int(fields[1])


def _namespaces_of(pid: int) -> set[str]:
    found = set()
    for kind in _NAMESPACES:
        try:
            found.add(str(Path(f"/proc/{pid}/ns/{kind}").readlink()))
        except OSError:
            return set()
    return found
