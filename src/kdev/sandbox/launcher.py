"""The program between the sandbox's process and a container's: makes its namespaces and file system, then becomes it.

Started afresh (exec, not fork) for each container, so that nothing of the asyncio process, its memory, descriptors
or locks, gets into a container. It reads what to do from an inherited socket, and says there what went wrong; the
socket closing without a word means that the program runs. The container's first process is made with CLONE_PARENT:
it becomes the sandbox's own child, with its exit status, and no process of ours stays between them.

Run as ``python -S -s -m kdev.sandbox.launcher DESCRIPTOR``; starts in about 20 ms, so it imports next to nothing.
"""

import errno
import fcntl
import json
import os
import signal
import socket
import sys
import termios
from typing import Any, NoReturn

from kdev.sandbox.syscalls import (
    Clone,
    Mount,
    clone,
    drop_from_bounding_set,
    forbid_new_privileges,
    mount,
    setns,
    unshare,
)

PLAN_LIMIT = 1 << 20
"""Bytes of a plan: arguments and environment, of which the kernel takes 128 KiB in one piece, with room to spare."""

_SCRATCH = "/run/kdev-scratch"
"""On the container's own /run, which is memory."""


def main() -> None:
    """Read the plan, launch, and end."""
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.set_inheritable(False)
    plan = json.loads(channel.recv(PLAN_LIMIT))
    try:
        _launch(plan, channel)
    except OSError as error:
        channel.send(json.dumps({"errno": error.errno, "message": str(error)}).encode())
        sys.exit(1)


def _launch(plan: dict[str, Any], channel: socket.socket) -> None:
    for kind, descriptor in plan["enter"]:
        setns(descriptor, Clone(kind))
    flags = Clone.PARENT | (Clone.NEWPID if plan["new_pid_namespace"] else Clone(0))
    if clone(flags) != 0:
        return
    # The receiver asked for SCM_CREDENTIALS: this message tells it our pid as it sees it.
    channel.send(b"{}")
    try:
        _become(plan)
    except OSError as error:
        channel.send(json.dumps({"errno": error.errno, "message": str(error)}).encode())
        os._exit(127)


def _become(plan: dict[str, Any]) -> NoReturn:
    os.setsid()
    if plan["terminal"]:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if plan["join_mounts"] is None:
        _set_up_files(plan["files"])
    else:
        setns(plan["join_mounts"], Clone.NEWNS)
    for descriptor in plan["give"]:
        os.fchown(descriptor, plan["uid"], plan["gid"])
    os.umask(0o022)
    _take_identity(plan)
    os.chdir(plan["directory"])
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # Python ignores it, and what it ignores is inherited
    os.environ.clear()
    os.environ.update(plan["environment"])
    os.execvpe(plan["arguments"][0], plan["arguments"], plan["environment"])  # noqa: S606 - what this is for


def _take_identity(plan: dict[str, Any]) -> None:
    for capability in plan["drop_capabilities"]:
        drop_from_bounding_set(capability)
    os.setgroups(plan["groups"])
    os.setresgid(plan["gid"], plan["gid"], plan["gid"])
    os.setresuid(plan["uid"], plan["uid"], plan["uid"])
    if plan["no_new_privileges"]:
        forbid_new_privileges()


def _set_up_files(files: dict[str, Any]) -> None:
    """The host's tree with a /proc of the container's own, an empty /run, and the files of the plan laid over it."""
    unshare(Clone.NEWNS)
    mount("", "/", flags=Mount.REC | Mount.PRIVATE)
    # Sources may lie below /run, which is about to be covered: descriptors still reach them.
    opened = [(os.open(source, os.O_PATH | os.O_CLOEXEC), *rest) for source, *rest in files["binds"]]
    mount("kdev", "/run", "tmpfs", Mount.NOSUID | Mount.NODEV, "mode=755,size=16m")
    for _, target, kind, _ in opened:
        _make_target(target, directory=kind == "directory")
    for descriptor, target, _, read_only in opened:
        mount(f"/proc/self/fd/{descriptor}", target, flags=Mount.BIND | Mount.REC)
        if read_only:
            mount("", target, flags=Mount.BIND | Mount.REMOUNT | Mount.RDONLY)
        os.close(descriptor)
    # Only now: the old /proc was needed to reach the descriptors.
    mount("proc", "/proc", "proc", Mount.NOSUID | Mount.NODEV | Mount.NOEXEC)
    if files["read_only_root"]:
        mount("", "/", flags=Mount.BIND | Mount.REMOUNT | Mount.RDONLY)


def _make_target(target: str, *, directory: bool) -> None:
    """Something to mount on, made for this container alone: nothing may appear in the host's own tree."""
    # Not pathlib: its import would take a third of this program's time.
    target = os.path.realpath(target)
    if os.path.lexists(target):
        return
    parent = os.path.dirname(target)  # noqa: PTH120
    if not target.startswith("/run/"):
        _cover(parent)
    os.makedirs(target if directory else parent, exist_ok=True)  # noqa: PTH103
    if not directory:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))


def _cover(directory: str) -> None:
    """Lay a scratch layer over the nearest directory that exists."""
    while not os.path.isdir(directory):  # noqa: PTH112
        directory = os.path.dirname(directory)  # noqa: PTH120
    if directory == "/":
        raise OSError(errno.ENOENT, "mounting below / needs a top-level directory that this machine has")
    layer = f"{_SCRATCH}/{len(os.listdir(_SCRATCH)) if os.path.isdir(_SCRATCH) else 0}"  # noqa: PTH112, PTH208
    for part in ("upper", "work"):
        os.makedirs(f"{layer}/{part}")  # noqa: PTH103
    options = f"lowerdir={directory},upperdir={layer}/upper,workdir={layer}/work"
    mount("kdev", directory, "overlay", Mount.NOSUID | Mount.NODEV, options)


if __name__ == "__main__":
    main()
