"""The sandbox's process: API server, node and mesh on one loop, until it is told to end.

Run as ``python -m kdev.sandbox.daemon NAME DIRECTORY``. On standard output it says one line of JSON: that it is ready,
or what failed. When it is killed, the kernel ends all that it started: see ``processes.start_reaper``.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from kdev.sandbox.api import serve
from kdev.sandbox.kubelet import Kubelet
from kdev.sandbox.mesh.certificates import CertificateAuthority
from kdev.sandbox.mesh.control import Mesh
from kdev.sandbox.processes import start_reaper
from kdev.sandbox.state import State

STATUS_DELAY = 0.02
"""Seconds to gather changes before the status file is written: they come in bursts."""


class StatusWriter:
    """Keeps the status file up to date."""

    def __init__(self, state: State, kubeconfig: Callable[[], str]) -> None:
        self._state = state
        self._kubeconfig = kubeconfig
        self._kubelet: Kubelet | None = None
        self._due: asyncio.TimerHandle | None = None

    def follow(self, kubelet: Kubelet) -> None:
        """Report this node from now on."""
        self._kubelet = kubelet
        self.changed()

    def changed(self) -> None:
        """Something has changed; the file follows soon."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(STATUS_DELAY, self._write)

    def _write(self) -> None:
        self._due = None
        pods = [] if self._kubelet is None else describe(self._kubelet)
        self._state.write_status({"name": self._state.name, "kubeconfig": self._kubeconfig(), "pods": pods})


def describe(kubelet: Kubelet) -> list[dict[str, Any]]:
    """All pods with their running containers, as ``kdev sandbox status --output json`` lists them."""
    described = []
    for pod in kubelet.pods():
        metadata = pod.sandbox.pod["metadata"]
        containers = [{"name": name, "pid": pid, "ephemeral": ephemeral} for name, pid, ephemeral in pod.processes()]
        described.append(
            {
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "ip": pod.sandbox.ip,
                "ready": pod.is_ready(),
                "meshed": pod.sandbox.is_meshed,
                "containers": containers,
            }
        )
    return sorted(described, key=lambda pod: (pod["namespace"], pod["name"]))


async def run(state: State) -> None:
    """Serve until SIGTERM or SIGINT."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    kubeconfig = Path()
    writer = StatusWriter(state, lambda: str(kubeconfig))
    mesh = Mesh(CertificateAuthority())
    async with Kubelet(state.directory / "pods", mesh, changed=writer.changed) as kubelet:
        state.api_directory.mkdir(mode=0o700, exist_ok=True)
        async with serve(kubelet, state.api_directory) as kubeconfig:
            writer.follow(kubelet)
            _say({"ready": True, "kubeconfig": str(kubeconfig)})
            await ended.wait()


def main() -> None:
    """Take the lock and run."""
    state = State(sys.argv[1], Path(sys.argv[2]))
    os.umask(0o022)  # files for pods are read by their containers' users; the directory itself is private
    try:
        lock = state.take_lock()
    except BlockingIOError:
        _say({"ready": False, "error": f'sandbox "{state.name}" is running already'})
        sys.exit(1)
    except OSError as error:
        _say({"ready": False, "error": str(error)})
        sys.exit(1)
    try:
        # On uvloop a forwarded byte costs half the CPU time.
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_start_threads())
            reaper = start_reaper()
            runner.run(run(state))
        reaper.kill()
        reaper.wait()
    except* OSError as group:
        _say({"ready": False, "error": str(_first(group))})
        raise
    finally:
        os.close(lock)


def _first(group: BaseExceptionGroup[OSError]) -> BaseException:
    """The first error of a group that may hold groups."""
    found: BaseException = group
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found


async def _start_threads() -> None:
    """Have libuv start its threads: the kernel allows none after ``start_reaper``, and libuv aborts without them."""
    await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 0)


def _say(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
