"""The beginning and the end of a sandbox, orderly or not."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.sandbox.conftest import Sandbox, named
from tests.leftovers import Leftovers, settled_since

pytestmark = pytest.mark.root


def _pid(directory: Path) -> int:
    return int((directory / "kdev" / "sandboxes" / "own" / "lock").read_text(encoding="ascii"))


def test_down_leaves_nothing(own_sandbox: Sandbox, tmp_path: Path) -> None:
    """After ``down`` no process, namespace, link, table, mount or file of the sandbox is there."""
    before = Leftovers.now()
    assert own_sandbox.command("up").returncode == 0
    assert own_sandbox.command("down").returncode == 0
    assert settled_since(before) == {}
    assert not (tmp_path / "kdev" / "sandboxes" / "own").exists()


def test_a_killed_sandbox_leaves_nothing_running(own_sandbox: Sandbox, tmp_path: Path) -> None:
    """After kill -9 the kernel ends everything, and ``down`` and ``up`` work as if nothing had been."""
    before = Leftovers.now()
    assert own_sandbox.command("up").returncode == 0
    os.kill(_pid(tmp_path), signal.SIGKILL)
    assert settled_since(before) == {}
    assert own_sandbox.command("status").returncode != 0
    assert own_sandbox.command("up").returncode == 0
    assert own_sandbox.curl("http://checkout/api/x").returncode == 0


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
