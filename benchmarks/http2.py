"""What the HTTP/2 hop costs: CPU microseconds per request of the splice alone, beside requests per second.

Two nghttpd stand behind the hop, h2load in front; answers have 1 kB. ``pass`` has no session, ``idle`` a mirror
session that nothing matches, ``steal 0/50/100`` a steal session and the share that matches it.

Run: python -m benchmarks.http2 [requests]
"""

import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

HOST = "127.0.0.1"
TICKS = os.sysconf("SC_CLK_TCK")
LOADS = ((1, 1), (16, 1), (16, 32))
WAYS = {
    "pass": ("pass", ["/a/x"]),
    "idle": ("mirror", ["/a/x"]),
    "mirror": ("mirror", ["/b/x"]),
    "steal 0": ("steal", ["/a/x"]),
    "steal 50": ("steal", ["/a/x", "/b/x"]),
    "steal 100": ("steal", ["/b/x"]),
}


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def await_listening(port: int) -> None:
    """Return when somebody accepts connections on ``port``."""
    for _ in range(500):
        try:
            socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(port)


def cpu_seconds(pid: int) -> float:
    """CPU time a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def start(stack: ExitStack, *command: str) -> subprocess.Popen[bytes]:
    """Start a program that ends with the stack."""
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    stack.callback(process.kill)
    return process


def load(port: int, paths: list[str], requests: int, clients: int, streams: int) -> float:
    """Send requests; returns how many were answered per second."""
    command = ["h2load", f"-n{requests}", f"-c{clients}", f"-m{streams}"]
    output = subprocess.run(
        [*command, *(f"http://{HOST}:{port}{path}" for path in paths)], capture_output=True, text=True, check=True
    ).stdout
    succeeded = re.search(r"(\d+) succeeded", output)
    rate = re.search(r"([\d.]+) req/s", output)
    if not succeeded or not rate or int(succeeded[1]) != requests:
        raise RuntimeError(output)
    return float(rate[1])


def measure(stack: ExitStack, servers: tuple[int, int], way: str, requests: int) -> str:
    """Measure one way under all loads; returns a table's row."""
    mode, paths = WAYS[way]
    port = free_port()
    module = [sys.executable, "-m", "tests.integration.proxy_http2.hop"]
    hop = start(stack, *module, str(port), *map(str, servers), mode, "/b")
    await_listening(port)
    load(port, paths, requests // 4, 4, 4)
    cells = []
    for clients, streams in LOADS:
        before = cpu_seconds(hop.pid)
        rate = load(port, paths, requests, clients, streams)
        cells.append(f"{1e6 * (cpu_seconds(hop.pid) - before) / requests:6.1f} us {rate / 1000:6.1f} k/s")
    return f"| {way:9} | " + " | ".join(cells) + " |"


def main() -> None:
    """Measure and print."""
    requests = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    print("| way       | " + " | ".join(f"c={clients} m={streams}" for clients, streams in LOADS) + " |")
    print("|---" * (len(LOADS) + 1) + "|")
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = free_port(), free_port()
        for name in "ab":
            (root / name).mkdir()
            (root / name / "x").write_bytes(name.encode() * 1000)
        for port in servers:
            start(stack, "nghttpd", "--no-tls", "-d", str(root), str(port))
            await_listening(port)
        for way in WAYS:
            with ExitStack() as hop:
                print(measure(hop, servers, way, requests), flush=True)


if __name__ == "__main__":
    main()
