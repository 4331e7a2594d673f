"""The beginning and the end of a sandbox, orderly or not."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.sandbox.conftest import Sandbox, named
from tests.integration.sandbox.traces import Traces

pytestmark = pytest.mark.root


def _pid(directory: Path) -> int:
    return int((directory / "kdev" / "sandboxes" / "own" / "lock").read_text(encoding="ascii"))


def _assert_no_files(directory: Path) -> None:
    assert not (directory / "kdev" / "sandboxes" / "own").exists()
    assert str(directory) not in Path("/proc/self/mountinfo").read_text(encoding="utf-8")


def test_down_leaves_nothing(own_sandbox: Sandbox, tmp_path: Path) -> None:
    """After ``down`` no process, mount or file of the sandbox is there."""
    assert own_sandbox.command("up").returncode == 0
    traces = Traces.of(_pid(tmp_path))
    assert len(traces.processes) > 10
    assert own_sandbox.command("down").returncode == 0
    assert traces.left() == []
    _assert_no_files(tmp_path)


def test_a_killed_sandbox_leaves_nothing_running(own_sandbox: Sandbox, tmp_path: Path) -> None:
    """After kill -9 the kernel ends everything, ``up`` works as if nothing had been, and ``down`` removes the files."""
    assert own_sandbox.command("up").returncode == 0
    for again in (True, False):
        traces = Traces.of(_pid(tmp_path))
        os.kill(_pid(tmp_path), signal.SIGKILL)
        assert traces.left() == []
        assert own_sandbox.command("status").returncode != 0
        if again:
            assert own_sandbox.command("up").returncode == 0
            assert own_sandbox.curl("http://checkout/api/x").returncode == 0
    down = own_sandbox.command("down")
    assert (down.returncode, "is gone" in down.stderr) == (0, True)
    _assert_no_files(tmp_path)


def test_up_again_changes_nothing(own_sandbox: Sandbox, tmp_path: Path) -> None:
    """A second ``up`` finds the sandbox running."""
    assert own_sandbox.command("up").returncode == 0
    pid = _pid(tmp_path)
    assert own_sandbox.command("up").returncode == 0
    assert _pid(tmp_path) == pid


def test_two_sandboxes_do_not_know_each_other(sandbox: Sandbox, tmp_path: Path) -> None:
    """Another name is another cluster, with the same addresses; ending it leaves the first one alone."""
    other = named("other", tmp_path)
    try:
        assert other.command("up").returncode == 0
        assert other.status()["kubeconfig"] != sandbox.status()["kubeconfig"]
        assert other.curl("http://checkout/api/x").returncode == 0
    finally:
        assert other.command("down").returncode == 0
    assert sandbox.curl("http://checkout/api/x").returncode == 0


def test_two_ups_at_a_time_make_one_sandbox(own_sandbox: Sandbox) -> None:
    """Whichever comes second waits for the first one's API server, or is told that it runs."""
    ups = [own_sandbox.start("up") for _ in range(2)]
    said = [process.communicate(timeout=120)[1] for process in ups]
    assert sorted(process.returncode for process in ups) in ([0, 0], [0, 6]), said
    assert own_sandbox.curl("http://checkout/api/x").returncode == 0


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system without a free byte."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "kdev-full", disk], check=True)
    try:
        (disk / "rest").write_bytes(bytes(os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize))
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


def test_a_full_disk_is_told(full_disk: Path) -> None:
    """``up`` fails with the system's words, and nothing is left running."""
    full = named("own", full_disk)
    refused = full.command("up")
    assert refused.returncode == 6
    assert "No space left on device" in refused.stderr
    assert full.command("status").returncode == 6
