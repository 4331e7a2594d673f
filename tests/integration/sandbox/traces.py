"""What one sandbox put on the machine: its processes and namespaces, and whether any of it is still there."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

SETTLED_WITHIN = 15.0
"""Seconds in which the kernel ends a process namespace of some dozen processes, also on a busy machine."""

_NAMESPACES = ("net", "uts", "ipc", "pid", "mnt")


@dataclass(frozen=True)
class Traces:
    """A sandbox's processes, by number and start time, and the namespaces that are theirs alone."""

    processes: frozenset[tuple[int, str]]
    namespaces: frozenset[str]

    @classmethod
    def of(cls, daemon: int) -> "Traces":
        """All that descends from a sandbox's process."""
        parents = {pid: _stat(pid)[1] for pid in _pids()}
        family = {daemon}
        while more := {pid for pid, parent in parents.items() if parent in family} - family:
            family |= more
        seen = {link for pid in family - {daemon} for link in _namespaces_of(pid)}
        return cls(
            frozenset((pid, _stat(pid)[0]) for pid in family),
            frozenset(seen - _namespaces_of(os.getpid()) - _namespaces_of(daemon)),
        )

    def left(self) -> list[str]:
        """What is still there once the kernel has had its time."""
        deadline = time.monotonic() + SETTLED_WITHIN
        while (left := self._now()) and time.monotonic() < deadline:
            time.sleep(0.1)
        return left

    def _now(self) -> list[str]:
        pids = _pids()
        processes = [f"process {pid}" for pid, started in self.processes if pid in pids and _stat(pid)[0] == started]
        held = {link for pid in pids for link in _namespaces_of(pid)}
        return processes + sorted(self.namespaces & held)


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
