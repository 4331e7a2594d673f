"""Starting and ending a sandbox's process."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from kdev.errors import LocalFailure
from kdev.sandbox.bookstore import bookstore
from kdev.sandbox.cluster import POLL, connect
from kdev.sandbox.manifests import names
from kdev.sandbox.state import State

Say = Callable[[str], None]

READY_WITHIN = 90.0
"""Seconds for the bookstore; two busy cores need about ten."""

START_WITHIN = 30.0
"""Seconds until the API server answers; it takes one."""

END_WITHIN = 15.0
"""Seconds for an orderly end; then the process is killed and the kernel cleans up."""

_SHOWN = 2000
"""Characters of the log's end that a failure shows: a screen."""

_PACKAGES = ("aiohttp", "cryptography", "envoy", "yaml")


def start(state: State, say: Say) -> str:
    """Start a sandbox and its bookstore; the kubeconfig's path. One that runs already is left as it is.

    Raises:
        LocalFailure: This machine cannot run one.
        TargetFailure: The bookstore does not become ready.
    """
    if state.running_pid() is not None:
        say(f'sandbox "{state.name}" is running already')
        return _await_kubeconfig(state)
    check_machine()
    state.create()
    state.remove()  # what a killed one left: files alone, the kernel took the rest
    state.create()
    kubeconfig = _start_process(state)
    say("API server answers")
    asyncio.run(_fill(kubeconfig, say))
    return kubeconfig


def stop(state: State) -> bool:
    """End a sandbox and remove its files; whether there was one."""
    pid = state.running_pid()
    if pid is not None:
        _end(pid)
    existed = state.directory.exists()
    state.remove()
    return pid is not None or existed


def check_machine() -> None:
    """Whether a sandbox can run here.

    Raises:
        LocalFailure: It cannot; says why.
    """
    if os.geteuid() != 0:
        raise LocalFailure(
            "sandbox-needs-root",
            "The sandbox needs root: its pods have users and network namespaces of their own",
            seen=f"user {os.geteuid()}",
            advice="run 'sudo kdev sandbox up'",
        )
    missing = [package for package in _PACKAGES if find_spec(package) is None]
    if missing:
        raise LocalFailure(
            "sandbox-packages",
            "The sandbox's packages are not installed",
            seen=f"missing: {', '.join(missing)}",
            advice="pip install 'kdev[sandbox]'",
        )


def _await_kubeconfig(state: State) -> str:
    """The kubeconfig of a sandbox that somebody else has just started, perhaps."""
    deadline = time.monotonic() + START_WITHIN
    while not (kubeconfig := str(state.read_status()["kubeconfig"])) and time.monotonic() < deadline:
        time.sleep(POLL)
    if not kubeconfig:
        raise _not_started(state, "it runs, but its API server does not answer")
    return kubeconfig


async def _fill(kubeconfig: str, say: Say) -> None:
    objects = bookstore()
    async with connect(kubeconfig) as cluster:
        await cluster.apply(objects)
        say("bookstore applied")
        await cluster.await_available(names(objects), READY_WITHIN, say)


def _start_process(state: State) -> str:
    try:
        with state.log_file.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "kdev.sandbox.daemon", state.name, str(state.directory)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
    except OSError as error:
        raise _not_started(state, str(error)) from error
    assert process.stdout is not None
    with process.stdout as said:
        readable, _, _ = select.select([said], [], [], START_WITHIN)
        line = said.readline() if readable else b""
    answer: dict[str, Any] = json.loads(line) if line else {"ready": False}
    if answer["ready"]:
        process.returncode = 0  # it lives on without us; tells Popen not to warn about it
        return str(answer["kubeconfig"])
    process.kill()
    process.wait()
    raise _not_started(state, answer.get("error") or state.log_file.read_text(errors="replace")[-_SHOWN:])


def _not_started(state: State, seen: str) -> LocalFailure:
    return LocalFailure(
        "sandbox-start", "The sandbox's process did not start", seen=seen, advice=f"see {state.log_file}"
    )


def _end(pid: int) -> None:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        signal.pidfd_send_signal(process, signal.SIGTERM)
        if not select.select([process], [], [], END_WITHIN)[0]:
            signal.pidfd_send_signal(process, signal.SIGKILL)
            select.select([process], [], [])
    finally:
        os.close(process)
