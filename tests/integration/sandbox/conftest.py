"""A sandbox for the tests of this folder, driven as a user drives it: by its commands and by kubectl."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from tests.kubectls import kubectl

_KDEV = (sys.executable, "-m", "kdev.cli", "sandbox")
WITHIN = 120.0
"""Seconds after which a command has hung; on a busy machine the bookstore needs a third of it."""


@dataclass(frozen=True)
class Sandbox:
    """One sandbox by its name, in a private directory."""

    environment: Mapping[str, str]

    def command(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Run ``kdev sandbox WORDS``."""
        return self._run([*_KDEV, *words], stdin)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Begin ``kdev sandbox WORDS``."""
        environment = dict(self.environment)
        return subprocess.Popen([*_KDEV, *words], env=environment, stdout=-1, stderr=-1, text=True)

    def kubectl(
        self, *words: str, stdin: str = "", which: Literal["current", "debian"] = "current"
    ) -> subprocess.CompletedProcess[str]:
        """Run one of the tests' kubectls with the sandbox's kubeconfig."""
        return self._run([kubectl(which), f"--kubeconfig={self.status()['kubeconfig']}", *words], stdin)

    def curl(self, *words: str) -> subprocess.CompletedProcess[str]:
        """``kdev sandbox curl`` without curl's own progress, bounded in time."""
        return self.command("curl", *words, "-sS", "-m", "20")

    def status(self) -> dict[str, Any]:
        """``kdev sandbox status --output json``."""
        shown: dict[str, Any] = json.loads(self.command("status", "--output", "json").stdout)
        return shown

    def pods(self, namespace: str, workload: str) -> list[dict[str, Any]]:
        """A workload's pods."""
        return [
            pod
            for pod in self.status()["pods"]
            if pod["namespace"] == namespace and pod["name"].startswith(f"{workload}-")
        ]

    def _run(self, words: list[str], stdin: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words, env=dict(self.environment), input=stdin, capture_output=True, text=True, timeout=WITHIN, check=False
        )


def named(name: str, directory: Path) -> Sandbox:
    """The sandbox of a name with its files below a directory."""
    return Sandbox({**os.environ, "XDG_RUNTIME_DIR": str(directory), "KDEV_SANDBOX": name})


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running sandbox with its bookstore, shared by all tests that leave it as it is."""
    shared = named("shared", tmp_path_factory.mktemp("shared"))
    try:
        started = shared.command("up")
        assert started.returncode == 0, started.stderr
        yield shared
    finally:
        assert shared.command("down").returncode == 0


@pytest.fixture
def own_sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A sandbox of the test's own, not started."""
    own = named("own", tmp_path)
    try:
        yield own
    finally:
        assert own.command("down").returncode == 0
