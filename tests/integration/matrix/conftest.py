"""The matrix: every protocol, shadowed in three ways, through real sidecars; one sandbox for all of it."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from kdev.sandbox.cluster import connect
from kdev.sandbox.images import HOST
from kdev.sandbox.manifests import Port, Workload, names
from tests.integration.matrix import table
from tests.integration.matrix.programs.speaker import PORTS
from tests.integration.matrix.shadowing import POD_PORTS, Ledgers, shadowing
from tests.integration.sandbox.conftest import WITHIN, Sandbox, named

ROOT = str(Path(__file__).parents[3])
_SPEAKER = "tests.integration.matrix.programs.speaker"
_ENVIRONMENT = {"PYTHONPATH": ROOT, "PYTHONDONTWRITEBYTECODE": "1"}
_cells = count()

COLUMNS = {
    "unmatched": ("--steal", "--filter", "header.x-dev=nobody"),
    "mirror": ("--mirror",),
    "steal": ("--steal",),
}
"""How each column shadows. What does not match is tried where the most could go wrong: in a session that steals."""

_passed: dict[tuple[str, str], bool] = {}


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep what the table says; a test that could not be set up, or not cleaned up after, has not passed either."""
    found = table.key(report.nodeid)
    if "integration/matrix/" in report.nodeid and found[0]:
        _passed[found] = _passed.get(found, True) and report.passed


def pytest_sessionfinish() -> None:
    """Write the table of a whole run where it is asked for."""
    if target := os.environ.get("KDEV_MATRIX_TABLE"):
        Path(target).write_text(table.render(_passed), encoding="utf-8")


FILTERED = "filtered"
"""The service whose sessions are the tests' own."""


@dataclass(frozen=True)
class Caller:
    """A meshed pod that clients run in, with an identity of its own."""

    sandbox: Sandbox

    def run(self, *command: str, stdin: bytes = b"") -> bytes:
        """What a program of this machine prints when it runs inside the pod."""
        done = subprocess.run(
            self._words(command), env=dict(self.sandbox.environment), input=stdin, capture_output=True,
            timeout=WITHIN, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr.decode()}"
        return done.stdout

    def begin(self, *command: str) -> "subprocess.Popen[bytes]":
        """Start one; the caller ends it."""
        return subprocess.Popen(
            self._words(command), env=dict(self.sandbox.environment), stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def curl(self, *words: str, stdin: bytes = b"") -> bytes:
        """What curl prints inside the pod."""
        return self.run("curl", "-sS", "--fail", "-m", "60", *words, stdin=stdin)

    def python(self, program: str, *words: str) -> Any:
        """What a client of this folder saw, of its JSON."""
        return json.loads(self.run(sys.executable, "-m", f"tests.integration.matrix.programs.{program}", *words))

    def _words(self, command: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "kdev.cli", "sandbox", "exec", "-n", "staging", "caller", "--", *command]


@dataclass(frozen=True)
class Column:
    """One way of shadowing, while it goes on.

    Attributes:
        name: As in ``COLUMNS``.
        ledgers: What the two ends were asked.
    """

    name: str
    ledgers: Ledgers

    @property
    def host(self) -> str:
        """The service that is called."""
        return self.ledgers.workload

    @property
    def answers(self) -> str:
        """Who has to answer."""
        return "local" if self.name == "steal" else "pod"

    def cell(self) -> str:
        """A name for the requests of one test, which both ends keep."""
        return f"{self.name}-{next(_cells)}"

    def arrived(self, cell: str, kind: str, number: int = 1) -> list[dict[str, Any]]:
        """What the local process got of a cell: as many as there were, or none when nothing matches.

        That nothing comes late is asserted when the column ends.
        """
        if self.name == "unmatched":
            return []
        found = self.ledgers.process(cell, kind, number)
        assert len(found) == number, found
        return found

    def served(self, cell: str, kind: str) -> list[dict[str, Any]]:
        """What the end that has to answer got of a cell."""
        return (self.ledgers.process if self.answers == "local" else self.ledgers.pod)(cell, kind)


@pytest.fixture(scope="session")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A sandbox with the speaker and its caller."""
    own = named("matrix", tmp_path_factory.mktemp("matrix"))
    try:
        started = own.command("up")
        assert started.returncode == 0, started.stderr
        asyncio.run(_apply(own.status()["kubeconfig"]))
        yield own
    finally:
        assert own.command("down").returncode == 0


async def _apply(kubeconfig: str) -> None:
    """A speaker for each column, so that none meets connections that a session before it has led elsewhere."""
    caller = Workload("caller", "staging", HOST, (), command=("/bin/sleep", "infinity"), environment=_ENVIRONMENT)
    objects = [item for name in (*COLUMNS, FILTERED) for item in _speaker(f"speaker-{name}").objects()]
    objects += caller.objects()
    async with connect(kubeconfig) as cluster:
        await cluster.apply(objects)
        await cluster.await_available(names(objects), WITHIN, lambda _: None)


def _speaker(name: str) -> Workload:
    command = (sys.executable, "-m", _SPEAKER, "pod", "0.0.0.0", *(str(POD_PORTS[port]) for port in PORTS))
    kinds = {"http": "http", "h2c": "http-h2c", "grpc": "grpc", "raw": "tcp", "greeting": "tcp-greeting"}
    http = {"httpGet": {"path": "/healthz", "port": POD_PORTS["http"]}, "periodSeconds": 1}
    probes = {
        "startupProbe": {**http, "failureThreshold": 60},
        "readinessProbe": {**http, "timeoutSeconds": 5},
        "livenessProbe": {"grpc": {"port": POD_PORTS["grpc"]}, "periodSeconds": 1, "timeoutSeconds": 5},
    }
    ports = tuple(Port(kind, POD_PORTS[port], POD_PORTS[port]) for port, kind in kinds.items())
    return Workload(
        name, "staging", HOST, ports, command=command, directory=ROOT, environment=_ENVIRONMENT, probes=probes
    )


@pytest.fixture(scope="session")
def caller(sandbox: Sandbox) -> Caller:
    """Where the clients run."""
    return Caller(sandbox)


@contextmanager
def local_speaker() -> Iterator[dict[str, int]]:
    """The local process, running: its ports by what it speaks."""
    words = [sys.executable, "-m", _SPEAKER, "local", "127.0.0.1", *("0" for _ in PORTS)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session", params=COLUMNS)
def column(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Column]:
    """One way of shadowing; in the end, nothing must have come to the local process that had no business there."""
    with local_speaker() as local:
        running = Column(request.param, Ledgers(sandbox, f"speaker-{request.param}", local))
        with shadowing(running.ledgers, *COLUMNS[running.name]) as shadow:
            yield running
            counts = shadow.end()["counts"]
        came = running.ledgers.all_of_process()
    assert [record for record in came if not record["cell"]] == []
    if running.name == "unmatched":
        assert came == []
        assert counts["matched"] == 0


@pytest.fixture
def filtered(sandbox: Sandbox) -> Iterator[Ledgers]:
    """A service for sessions of the test's own, and a local process."""
    with local_speaker() as local:
        yield Ledgers(sandbox, f"speaker-{FILTERED}", local)
