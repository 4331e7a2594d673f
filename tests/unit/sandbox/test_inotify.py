"""The kernel's limit on file watches."""

from pathlib import Path

from kdev.sandbox.inotify import INSTANCES, make_room


def test_a_low_limit_is_raised_and_told(tmp_path: Path) -> None:
    """A default kernel's limit becomes enough, the user learns of it, and the second time there is nothing to do."""
    limit = tmp_path / "limit"
    limit.write_text("128\n")
    assert make_room(limit) == f"fs.inotify.max_user_instances raised from 128 to {INSTANCES} for the sidecars"
    assert int(limit.read_text()) == INSTANCES
    assert not make_room(limit)


def test_a_limit_that_cannot_be_raised_is_told() -> None:
    """Where the kernel refuses, the user gets the command; nothing fails yet."""
    assert "sudo sysctl" in make_room(Path("/proc/sys/kernel/random/poolsize"))
