"""Capabilities as a container's securityContext speaks of them."""

from collections.abc import Collection

_NAMES = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
]

NUMBERS = {name: number for number, name in enumerate(_NAMES)}
"""include/uapi/linux/capability.h, without the CAP_ in front, as Kubernetes writes them."""

DEFAULT = frozenset(
    [
        "CHOWN",
        "DAC_OVERRIDE",
        "FSETID",
        "FOWNER",
        "MKNOD",
        "NET_RAW",
        "SETGID",
        "SETUID",
        "SETFCAP",
        "SETPCAP",
        "NET_BIND_SERVICE",
        "SYS_CHROOT",
        "KILL",
        "AUDIT_WRITE",
    ]
)
"""What containerd gives a container that asks for nothing (oci.defaultUnixCaps)."""


def capabilities(add: Collection[str], drop: Collection[str], *, privileged: bool = False) -> frozenset[str]:
    """The capabilities of a container.

    Dropping ALL empties the set before anything is added, whatever else is dropped, as container runtimes do.

    Raises:
        ValueError: A name is not a capability.
    """
    every = frozenset(_NAMES)
    added = {_plain(name) for name in add}
    dropped = {_plain(name) for name in drop}
    for name in (added | dropped) - every - {"ALL"}:
        raise ValueError(f'unknown capability "{name}"')
    if privileged:
        return every
    start = frozenset[str]() if "ALL" in dropped else every if "ALL" in added else DEFAULT
    return frozenset((start - dropped) | (added & every))


def to_drop(kept: Collection[str], last: int) -> list[int]:
    """Numbers of all capabilities of this kernel but the kept ones.

    Args:
        kept: Names to keep.
        last: The highest number the kernel knows (/proc/sys/kernel/cap_last_cap).
    """
    keep = {NUMBERS[name] for name in kept}
    return [number for number in range(last + 1) if number not in keep]


def _plain(name: str) -> str:
    return name.upper().removeprefix("CAP_")
