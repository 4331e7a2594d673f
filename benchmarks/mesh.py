"""Everything real in place: two Envoy sidecars in STRICT mTLS, the tap, the agent, the tunnel through the API server.

wrk and h2load run in a meshed pod; nginx is the application and the developer's process. ``python -m benchmarks.mesh
[seconds]``. Both sidecars, the load and the API server share the machine with what is measured, so the rates say
little; the CPU time for each request is the figure to read.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

from benchmarks.measuring import Load, cpu, parse_h2load, parse_wrk, resident, spent, table

CONNECTIONS = (1, 16, 64)
NAME = f"bench{os.getpid()}"
PORTS = {"bench1": 8080, "bench2": 8081}
"""The applications' ports: the first speaks HTTP/1.1, the second HTTP/2 by prior knowledge."""

_KDEV = (sys.executable, "-m", "kdev.cli")
_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; error_log stderr;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen {port} {protocol}; return 200 '{body}'; }}
}}
"""


class Bench:
    """A sandbox with a client's pod and one application for each protocol."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._environment = os.environ | {"KDEV_SANDBOX": NAME}
        self._local: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self.kdev("sandbox", "up")
        self._environment["KUBECONFIG"] = self.kdev("sandbox", "kubeconfig").strip()
        for name, port, protocol in (("bench1", 8080, "http"), ("bench2", 8081, "grpc")):
            command = ("nginx", "-e", "stderr", "-c", str(self._nginx(name, port, "pod")))
            self.kdev(
                "sandbox", "run", name, "-n", "staging", "--port", str(port), "--protocol", protocol, "--", *command
            )
            local = self._nginx(f"{name}-local", port - 5000, "local")
            self._local.append(subprocess.Popen(["nginx", "-e", "stderr", "-c", str(local)]))
        return self

    def __exit__(self, *error: object) -> None:
        for process in self._local:
            process.terminate()
            process.wait()
        self.kdev("sandbox", "down")

    def kdev(self, *words: str) -> str:
        """Run a command of kdev to its end; what it prints."""
        done = subprocess.run(
            [*_KDEV, *words], env=self._environment, check=True, stdout=subprocess.PIPE, text=True, timeout=120
        )
        return done.stdout

    def inside(self, *command: str) -> str:
        """Run a program in the client's pod, behind its sidecar."""
        return self.kdev("sandbox", "exec", "-n", "staging", "storefront", "--", *command)

    @contextlib.contextmanager
    def shadow(self, service: str, *options: str) -> Iterator[tuple[int, float]]:
        """Shadow a service; the process of kdev, and the seconds from the command to Ready."""
        begun = time.monotonic()
        process = subprocess.Popen(
            [*_KDEV, "shadow", f"deploy/{service}", "-n", "staging", "--progress", "json", *options],
            env=self._environment, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr is not None
        with process:
            for line in process.stderr:
                if '"ready"' in line.lower():
                    break
            ready = time.monotonic() - begun
            with (self.scratch / "talk").open("w") as log:
                draining = subprocess.Popen(["cat"], stdin=process.stderr, stdout=log)
            try:
                yield process.pid, ready
            finally:
                process.terminate()
                process.wait(30)
                draining.wait(30)

    def agent(self, service: str) -> int:
        """The process of the agent that was placed last in a service's only pod."""
        agents = [container["pid"] for container in self._containers(service) if container["ephemeral"]]
        return int(next(pid for pid in reversed(agents) if pid and Path(f"/proc/{pid}").exists()))

    def _containers(self, service: str) -> list[dict[str, Any]]:
        status = json.loads(self.kdev("sandbox", "status", "--output", "json"))
        return [c for pod in status["pods"] if pod["name"].startswith(service) for c in pod["containers"]]

    def _nginx(self, name: str, port: int, body: str) -> Path:
        folder = self.scratch / name
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        protocol = "http2" if port in (8081, 3081) else ""
        config = folder / "nginx.conf"
        config.write_text(_NGINX.format(folder=folder, port=port, protocol=protocol, body=body.ljust(1024, ".")))
        return config


WAYS: Mapping[str, tuple[str, ...] | None] = {
    "sidecars only": None,
    "pass-through": ("--steal", "--filter", "path=/nothing/*"),
    "mirror": ("--mirror",),
    "steal": ("--steal",),
}


def measure(bench: Bench, service: str, port: int, seconds: int) -> str:
    """Measure all ways of one protocol; a table."""
    rows: list[list[str]] = []
    for way, options in WAYS.items():
        with contextlib.ExitStack() as stack:
            processes: dict[str, int] = {}
            ready = ""
            if options is not None:
                local = f"{port}:{port - 5000}"
                laptop, took = stack.enter_context(bench.shadow(service, "--port", local, *options))
                processes = {"agent": bench.agent(service), "laptop": laptop}
                ready = f"{took:.2f}"
            load(bench, service, 4, 1)
            for connections in CONNECTIONS:
                before = {name: cpu(pid) for name, pid in processes.items()}
                done = load(bench, service, connections, seconds)
                costs = spent(processes, before, done.requests)
                rows.append(_row(way, connections, done, costs=costs, processes=processes, ready=ready))
    return table(
        ("way", "connections", "requests/s", "p50 us", "p99 us", "CPU us/request", "MB", "failed", "Ready s"), rows
    )


def load(bench: Bench, service: str, connections: int, seconds: int) -> Load:
    """Send requests for some seconds from the client's pod."""
    url = f"http://{service}:{PORTS[service]}/api/x"
    if service == "bench1":
        return parse_wrk(bench.inside("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url), seconds)
    log = bench.scratch / "h2load.log"
    log.unlink(missing_ok=True)
    log.touch()
    log.chmod(0o666)
    output = bench.inside("h2load", f"-c{connections}", "-m1", f"-D{seconds}", f"--log-file={log}", url)
    return parse_h2load(output, log)


def _row(
    way: str, connections: int, done: Load, *, costs: dict[str, float], processes: dict[str, int], ready: str
) -> list[str]:
    shown = ", ".join(f"{process} {cost:.1f}" for process, cost in costs.items())
    held = ", ".join(f"{process} {resident(pid):.0f}" for process, pid in processes.items())
    cells = (done.rate, done.p50, done.p99)
    return [way, f"{connections}", *(f"{cell:.0f}" for cell in cells), shown, held, f"{done.failures}", ready]


def main() -> None:
    """Print both tables."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o755)
        with Bench(Path(scratch)) as bench:
            for title, service, port in (("HTTP/1.1", "bench1", 8080), ("h2c", "bench2", 8081)):
                print(f"\n### Through real sidecars, {title}, 1 kB answers\n")
                print(measure(bench, service, port, seconds), flush=True)


if __name__ == "__main__":
    main()
