"""Room for the sidecars' file watches.

An Envoy opens an inotify instance for each file that it takes configuration from, that is for every port of every
service. Linux allows the processes of one user 128 of them by default, which a dozen services exceed; an Envoy that
gets none aborts, and its pod never becomes ready.
"""

from pathlib import Path

INSTANCES = 8192
"""Per user. An instance without events costs the kernel about a kilobyte, and only while it is open."""

_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")


def make_room(limit: Path = _LIMIT) -> str:
    """Raise the machine's limit where it is lower; what to tell the user, if anything.

    It stays raised when the sandbox is gone: another one may be using it.
    """
    allowed = int(limit.read_text(encoding="ascii"))
    if allowed >= INSTANCES:
        return ""
    try:
        limit.write_text(str(INSTANCES), encoding="ascii")
    except OSError as error:
        return (
            f"fs.inotify.max_user_instances is {allowed} and cannot be raised here ({error.strerror}): with more than"
            f" a dozen services sidecars may not start; run 'sudo sysctl fs.inotify.max_user_instances={INSTANCES}'"
        )
    return f"fs.inotify.max_user_instances raised from {allowed} to {INSTANCES} for the sidecars"
