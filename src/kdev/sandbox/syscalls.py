"""The few Linux system calls that Python 3.11 has no functions for: unshare, setns, mount, clone, prctl (man pages 2).

Imported by the launcher, which starts once for every container: nothing but the standard library's quickest modules.
"""

import ctypes
import os
import platform
import signal
from enum import IntFlag

_libc = ctypes.CDLL(None, use_errno=True)

_SYS_CLONE = {"x86_64": 56, "aarch64": 220}

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38


class Clone(IntFlag):
    """CLONE_* flags (include/uapi/linux/sched.h)."""

    PARENT = 0x8000
    NEWNS = 0x20000
    NEWUTS = 0x4000000
    NEWIPC = 0x8000000
    NEWPID = 0x20000000
    NEWNET = 0x40000000


class Mount(IntFlag):
    """MS_* flags (include/uapi/linux/mount.h)."""

    NONE = 0
    RDONLY = 1
    NOSUID = 2
    NODEV = 4
    NOEXEC = 8
    REMOUNT = 32
    BIND = 4096
    REC = 16384
    PRIVATE = 1 << 18


def unshare(flags: Clone) -> None:
    """Leave the shared namespaces named by the flags for fresh ones."""
    _check(_libc.unshare(int(flags)), "unshare")


def setns(descriptor: int, flags: Clone) -> None:
    """Enter the namespace behind a descriptor; for NEWPID only children are in it."""
    _check(_libc.setns(descriptor, int(flags)), "setns")


def mount(source: str, target: str, kind: str = "", flags: Mount = Mount.NONE, data: str = "") -> None:
    """Mount, bind, or change the flags of a mount."""
    arguments = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data.encode() or None)
    _check(_libc.mount(*arguments), f"mount {target}")


def clone(flags: Clone) -> int:
    """Fork with CLONE_* flags; 0 in the child.

    Only for a process with a single thread whose child soon executes another program: the C library does not
    learn of this fork.

    Raises:
        OSError: The kernel refused, or the number of the call on this machine is not known.
    """
    number = _SYS_CLONE.get(platform.machine())
    if number is None:
        raise OSError(38, f"clone is not known for {platform.machine()}")
    arguments = [ctypes.c_long(value) for value in (number, int(flags) | signal.SIGCHLD, 0, 0, 0, 0)]
    return _check(_libc.syscall(*arguments), "clone")


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    _check(_libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")


def drop_from_bounding_set(capability: int) -> None:
    """Make a capability unreachable for this process and all that it executes."""
    _check(_libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0), "prctl")


def forbid_new_privileges() -> None:
    """Have set-uid bits and file capabilities ignored from now on."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def _check(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result
