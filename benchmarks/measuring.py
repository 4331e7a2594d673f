"""What a load did: rates and latencies as wrk and h2load print them, and the CPU time that each process took."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6}


@dataclass(frozen=True)
class Load:
    """One run of a load generator; latencies in microseconds, failures in requests."""

    requests: int
    seconds: float
    p50: float
    p99: float
    failures: int

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def cpu(pid: int) -> float:
    """CPU time that a process with all its threads has taken, in microseconds (proc(5), schedstat)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e3


def resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    (line,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


def spent(pids: Mapping[str, int], before: Mapping[str, float], requests: int) -> dict[str, float]:
    """CPU microseconds for each request, by process."""
    return {name: (cpu(pid) - before[name]) / max(requests, 1) for name, pid in pids.items()}


def parse_wrk(output: str, seconds: float) -> Load:
    """Read what ``wrk --latency`` printed."""
    troubles = re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", output)
    return Load(
        requests=int(_found(r"(\d+) requests in", output)),
        seconds=seconds,
        p50=_time(_found(r"\s50%\s+(\S+)", output)),
        p99=_time(_found(r"\s99%\s+(\S+)", output)),
        failures=sum(map(int, troubles)),
    )


def parse_h2load(output: str, log: Path) -> Load:
    """Read what ``h2load --log-file`` printed and logged: for each request its begin, status and microseconds."""
    latencies = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    finished = re.search(r"finished in ([\d.]+)(us|ms|s)", output)
    assert finished is not None, output
    return Load(
        requests=len(latencies),
        seconds=float(finished[1]) * _UNITS[finished[2]] / 1e6,
        p50=latencies[len(latencies) // 2],
        p99=latencies[len(latencies) * 99 // 100],
        failures=int(_found(r"(\d+) failed", output)),
    )


def _found(pattern: str, output: str) -> str:
    found = re.search(pattern, output)
    if found is None:
        raise ValueError(f"nothing like {pattern!r} in: {output}")
    return found[1]


def _time(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a Markdown table."""
    lines = [list(head), *[[str(cell) for cell in row] for row in rows]]
    lines.insert(1, ["---"] * len(lines[0]))
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
