"""A sandbox with a workload under load: ``shop``, one pod of nginx, called from a meshed pod through its sidecar."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from kdev.sandbox.api.controllers.endpoints import RETRIES
from kdev.sandbox.images import HOST
from kdev.sandbox.interface import Object
from kdev.sandbox.manifests import Port, Workload, tcp_probes
from kdev.sandbox.mesh.shape import INBOUND_SOURCE
from tests.integration.resilience import nginx
from tests.integration.resilience.http1_load import Wanted
from tests.integration.resilience.outcomes import Outcomes
from tests.integration.sandbox.conftest import Sandbox

NAMESPACE = "staging"
HTTP1, HTTP2 = 80, 82
"""The service's ports."""

_STREAMS = 8  # of each HTTP/2 connection
_WITHOUT_RETRIES = "-once"  # the second service's name, after the first one's


@dataclass(frozen=True)
class Load:
    """A load that runs; ``outcomes`` once it has ended."""

    process: subprocess.Popen[bytes]
    log: Path

    def end(self) -> Outcomes:
        """End it and read what it wrote."""
        self.process.terminate()
        self.process.wait(20)
        return Outcomes.read(self.log)


class Downloads:
    """Slow downloads, each by a curl of its own."""

    def __init__(self, processes: list[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def survived(self) -> int:
        """Wait for all; how many came whole."""
        return sum(process.wait(60) == 0 for process in self._processes)

    def kill(self) -> None:
        """End those that still run."""
        for process in self._processes:
            process.kill()
            process.wait()


@dataclass(frozen=True)
class Shop:
    """The workload, its caller, and a folder for logs.

    Attributes:
        addresses: Of its service, and of the one whose callers' sidecars repeat nothing, by whether they retry.
    """

    sandbox: Sandbox
    name: str
    addresses: Mapping[bool, str]
    scratch: Path

    @property
    def pod(self) -> dict[str, Any]:
        """Its pod as ``kdev sandbox status`` tells."""
        (pod,) = self.sandbox.pods(NAMESPACE, self.name)
        return pod

    @cached_property
    def _caller(self) -> int:
        (pod,) = self.sandbox.pods(NAMESPACE, "storefront")
        return _running(pod)

    @cached_property
    def _namespace(self) -> str:
        return f"--net=/proc/{_running(self.pod)}/ns/net"

    # ---- asking

    @contextmanager
    def load(
        self, *, rate: float, connections: int, http2: bool = False, retries: bool = True, path: str = "/api/x"
    ) -> Iterator[Load]:
        """A steady load from the calling pod, which has had its first answers."""
        address = self.addresses[retries]
        log = self.scratch / f"load-{time.monotonic_ns()}"
        with log.open("wb") as out:
            if http2:
                paced = [f"-c{connections}", f"-m{_STREAMS}", f"--rps={rate / connections:g}", "-D600"]
                command = ["h2load", *paced, f"--log-file={log}", f"http://{address}:{HTTP2}{path}"]
            else:
                wanted = Wanted(address, HTTP1, path, connections, rate)
                told = json.dumps(asdict(wanted))
                command = [sys.executable, "-um", "tests.integration.resilience.http1_load", told]
            process = subprocess.Popen(self.calling(*command), stdout=subprocess.DEVNULL if http2 else out)
        try:
            until(lambda: log.read_bytes().count(b"\n") >= connections)
            yield Load(process, log)
        finally:
            process.kill()
            process.wait()

    @contextmanager
    def downloads(self, count: int = 8, *, http2: bool = False) -> Iterator[Downloads]:
        """Slow downloads that have begun."""
        port, protocol = (HTTP2, ["--http2-prior-knowledge"]) if http2 else (HTTP1, [])
        files = [self.scratch / f"download-{time.monotonic_ns()}-{number}" for number in range(count)]
        url = f"http://{self.addresses[True]}:{port}/download/file"
        commands = [self.calling("curl", "-sSf", *protocol, "-o", str(file), url) for file in files]
        running = Downloads([subprocess.Popen(command, text=True) for command in commands])
        try:
            until(lambda: all(file.exists() and file.stat().st_size for file in files))
            yield running
        finally:
            running.kill()

    def calling(self, *command: str) -> list[str]:
        """The command line that runs a command in the calling pod's network."""
        return ["nsenter", f"--net=/proc/{self._caller}/ns/net", *command]

    def ask(self, path: str = "/api/x", *options: str, retries: bool = True) -> str:
        """One request's status; ``000`` for none."""
        url = f"http://{self.addresses[retries]}:{HTTP1}{path}"
        asked = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "30", *options, url]
        return subprocess.run(self.calling(*asked), capture_output=True, text=True, check=False).stdout

    def retries(self) -> int:
        """How many requests the caller's sidecar has repeated so far."""
        url = "http://127.0.0.1:15000/stats?filter=upstream_rq_retry$"
        told = subprocess.run(self.calling("curl", "-sS", url), capture_output=True, text=True, check=True).stdout
        return sum(int(line.rsplit(" ", 1)[1]) for line in told.splitlines())

    # ---- looking into the pod

    def inside(self, *command: str) -> str:
        """What a command prints in the pod's network."""
        entering = ["nsenter", self._namespace, *command]
        return subprocess.run(entering, capture_output=True, text=True, check=True).stdout

    def direct(self) -> int:
        """Connections of the sidecar that end at the application itself."""
        ports = f"( sport = :{nginx.HTTP1} or sport = :{nginx.HTTP2} )"
        listing = self.inside("ss", "-Htn", "state", "established", f"dst {INBOUND_SOURCE} and {ports}")
        return len(listing.splitlines())

    def agents(self) -> list[int]:
        """The pids of the agents that run in the pod."""
        return [one["pid"] for one in self.pod["containers"] if one["ephemeral"] and one["pid"]]

    def tables(self) -> list[str]:
        """The pod's nft tables of kdev; an empty-handed guard is meant to stay."""
        names = [line.split()[-1] for line in self.inside("nft", "list", "tables").splitlines()]
        return [name for name in names if name.startswith("kdev") and name != "kdev-guard"]

    def await_nothing_left(self, seconds: float = 30.0) -> None:
        """Wait until neither an agent nor a rule of one is in the pod."""
        until(lambda: not self.agents() and not self.tables(), seconds)


def open_shop(sandbox: Sandbox, scratch: Path, name: str = "shop", *, download_seconds: int = 10) -> Shop:
    """Apply the workload to a running sandbox; it goes with the sandbox."""
    configuration = nginx.application(scratch / name, download_seconds=download_seconds)
    program, *words = nginx.command(configuration)
    workload = Workload(
        name,
        NAMESPACE,
        HOST,
        (Port("http", HTTP1, nginx.HTTP1), Port("http2", HTTP2, nginx.HTTP2)),
        command=(program, *words),
        environment={"PATH": os.environ["PATH"]},
        probes=tcp_probes(nginx.HTTP1),
    )
    items = [*workload.objects(), _service_without_retries(workload)]
    objects = {"apiVersion": "v1", "kind": "List", "items": items}
    _checked(sandbox, "apply", "-f", "-", stdin=json.dumps(objects))
    _checked(sandbox, "-n", NAMESPACE, "wait", "--for=condition=Available", "--timeout=60s", f"deploy/{name}")
    services = {True: name, False: f"{name}{_WITHOUT_RETRIES}"}
    addresses = {retries: _cluster_ip(sandbox, service) for retries, service in services.items()}
    shop = Shop(sandbox, name, addresses, scratch)
    until(
        lambda: all(shop.ask(retries=retries) == "200" for retries in services)
    )  # the routes have come to the caller's sidecar
    return shop


def _service_without_retries(workload: Workload) -> Object:
    service = next(item for item in workload.objects() if item["kind"] == "Service")
    name, metadata = f"{workload.name}{_WITHOUT_RETRIES}", service["metadata"]
    return {**service, "metadata": {**metadata, "name": name, "annotations": {RETRIES: "off"}}}


def _cluster_ip(sandbox: Sandbox, service: str) -> str:
    return _checked(sandbox, "-n", NAMESPACE, "get", "svc", service, "-o", "jsonpath={.spec.clusterIP}")


def _checked(sandbox: Sandbox, *words: str, stdin: str = "") -> str:
    done = sandbox.kubectl(*words, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _running(pod: dict[str, Any]) -> int:
    """The pid of a container that runs and is no agent."""
    return next(int(one["pid"]) for one in pod["containers"] if one["pid"] and not one["ephemeral"])


def until(holds: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for what gives no event."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
