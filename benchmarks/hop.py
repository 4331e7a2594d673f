"""The tapped hop alone: agent and laptop as they are, in one network namespace, without a mesh around them.

wrk and h2load stand for the sidecar, nginx for the application and for the developer's process. The yardstick is the
same hop with Envoy in the agent's place. Run with ``python -m benchmarks.hop [seconds]``.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nacl.signing import SigningKey

from benchmarks.envoy_hop import envoy_hop
from benchmarks.measuring import Load, cpu, parse_h2load, parse_wrk, resident, spent, table
from kdev.tunnel.messages import Mode
from tests.pod_namespace import POD_IP, SIDECAR_UID, PodNamespace, shadow

CONNECTIONS = (1, 16, 64)
URL = f"http://{POD_IP}:8080/api/x"


@dataclass(frozen=True)
class Way:
    """What stands in the hop; no mode is nothing, ``envoy`` is the yardstick."""

    name: str
    mode: Mode | None = None
    filters: tuple[str, ...] = ()
    envoy: bool = False


WAYS = (
    Way("direct"),
    Way("pass-through", Mode.STEAL, ("path=/nothing/*",)),
    Way("mirror", Mode.MIRROR),
    Way("steal", Mode.STEAL),
    Way("Envoy, pass-through", envoy=True),
)


@contextlib.contextmanager
def hop(way: Way, *, http2: bool) -> Iterator[tuple[PodNamespace, dict[str, int]]]:
    """A pod with this way in its hop, and the processes to account for."""
    with tempfile.TemporaryDirectory() as scratch, PodNamespace(Path(scratch)) as pod:
        pod.scratch.chmod(0o755)  # for h2load's log, which it writes as the sidecar's user
        pod.nginx(POD_IP, 8080, body="pod", http2=http2)
        pod.nginx("127.0.0.1", 3000, body="local", http2=http2)
        processes: dict[str, int] = {}
        if way.envoy:
            processes["Envoy"] = envoy_hop(pod, POD_IP, 8080)
        elif way.mode is not None:
            key = SigningKey.generate()
            processes["agent"] = pod.agent(key).pid
            processes["laptop"] = pod.laptop(key, shadow(way.mode, *way.filters), {8080: 3000}).pid
        yield pod, processes


def load(pod: PodNamespace, connections: int, seconds: int, *, http2: bool) -> Load:
    """Send requests for some seconds, as the sidecar."""
    if not http2:
        command = ("wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", URL)
        return parse_wrk(pod.run(*command, user=SIDECAR_UID), seconds)
    log = pod.scratch / "h2load.log"
    log.unlink(missing_ok=True)
    log.touch()
    log.chmod(0o666)
    command = ("h2load", f"-c{connections}", "-m1", f"-D{seconds}", f"--log-file={log}", URL)
    return parse_h2load(pod.run(*command, user=SIDECAR_UID), log)


def measure(seconds: int, *, http2: bool) -> str:
    """Measure all ways; a table."""
    rows: list[list[str]] = []
    for way in WAYS:
        with hop(way, http2=http2) as (pod, processes):
            load(pod, 4, 1, http2=http2)
            for connections in CONNECTIONS:
                before = {name: cpu(pid) for name, pid in processes.items()}
                done = load(pod, connections, seconds, http2=http2)
                costs = spent(processes, before, done.requests)
                rows.append(_row(way.name, connections, done, costs, {n: resident(p) for n, p in processes.items()}))
            if not http2:
                rows.append([way.name, "100 MB", f"{_download(pod):.0f} MB/s", "", "", "", "", ""])
    return table(
        ("hop", "connections", "requests/s", "p50 us", "p99 us", "CPU us/request", "memory MB", "failed"), rows
    )


def _download(pod: PodNamespace) -> float:
    """MB/s of one download of 100 MB, the best of three."""
    command = ("curl", "-sS", "-o", "/dev/null", "-w", "%{speed_download}", f"http://{POD_IP}:8080/large")
    return max(float(pod.run(*command, user=SIDECAR_UID)) for _ in range(3)) / 1e6


def _row(name: str, connections: int, done: Load, costs: dict[str, float], memory: dict[str, float]) -> list[str]:
    shown = ", ".join(f"{process} {cost:.1f}" for process, cost in costs.items())
    held = ", ".join(f"{process} {size:.0f}" for process, size in memory.items())
    return [
        name,
        f"{connections}",
        f"{done.rate:.0f}",
        f"{done.p50:.0f}",
        f"{done.p99:.0f}",
        shown,
        held,
        f"{done.failures}",
    ]


def main() -> None:
    """Print both tables."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for protocol, http2 in (("HTTP/1.1", False), ("h2c", True)):
        print(f"\n### The hop alone, {protocol}, 1 kB answers\n")
        print(measure(seconds, http2=http2), flush=True)


if __name__ == "__main__":
    main()
