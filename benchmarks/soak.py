"""Minutes of fast connects, closes, resets, half-closes, keep-alive and HTTP/2 through splice and tunnel.

``python -m benchmarks.soak [SECONDS] [uvloop|asyncio]``: prints memory and descriptors of agent and laptop over time,
and what the traffic counted. What grows without end, or fails, shows here and nowhere else.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nacl.signing import SigningKey

from benchmarks.measuring import resident, table
from kdev.tunnel.messages import Mode, Shadow
from tests.pod_namespace import POD_IP, SIDECAR_UID, PodNamespace, facts

_ECHO = """
import asyncio, sys, uvloop
class Echo(asyncio.Protocol):
    def connection_made(self, transport): self.transport = transport
    def data_received(self, data): self.transport.write(data)
    def pause_writing(self): self.transport.pause_reading()
    def resume_writing(self): self.transport.resume_reading()
async def main():
    server = await asyncio.get_running_loop().create_server(Echo, sys.argv[1], int(sys.argv[2]), backlog=4096)
    print("echoes", flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
SHADOW = Shadow(
    mode=Mode.STEAL, filters=("path=/api/*", "port=8082"), ports=(8080, 8081, 8082), probes=(), sample=1.0,
    timeout=None, owner="soak", pod=facts(),
)  # fmt: skip
LOCAL = {8080: 3000, 8081: 3001, 8082: 3002}
SAMPLES = 12


def main() -> None:
    """Soak, and print the account."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 900
    loop = sys.argv[2] if len(sys.argv) > 2 else "uvloop"
    with tempfile.TemporaryDirectory() as scratch, PodNamespace(Path(scratch)) as pod:
        _serve(pod)
        key = SigningKey.generate()
        processes = {"agent": pod.agent(key, loop=loop), "laptop": pod.laptop(key, SHADOW, LOCAL, loop=loop)}
        account, rows = _soak(pod, processes, seconds)
        alive = all(process.poll() is None for process in processes.values())
    print(f"\n### {seconds} s on {loop}: {'both processes alive' if alive else 'A PROCESS DIED'}\n")
    print(table(("seconds", "agent MB", "agent fds", "laptop MB", "laptop fds"), rows))
    print("\n" + "\n".join(f"- {name}: {count}" for name, count in sorted(account.items())))


def _serve(pod: PodNamespace) -> None:
    for address, ports, body in ((POD_IP, (8080, 8081, 8082), "pod"), ("127.0.0.1", (3000, 3001, 3002), "local")):
        pod.nginx(address, ports[0], body=body)
        pod.nginx(address, ports[1], body=body, http2=True)
        pod.start(sys.executable, "-c", _ECHO, address, str(ports[2]), ready=b"echoes")


def _soak(
    pod: PodNamespace, processes: dict[str, subprocess.Popen[bytes]], seconds: int
) -> tuple[dict[str, int], list[list[str]]]:
    traffic = (sys.executable, "-m", "benchmarks.soak_traffic", str(seconds))
    http2 = ("h2load", "-c4", "-m4", "--rps=50", f"-D{seconds}", f"http://{POD_IP}:8081/api/x")
    begun = time.monotonic()
    running = [
        subprocess.Popen(pod.inside(*command, user=user), stdout=subprocess.PIPE, text=True)
        for command, user in ((traffic, SIDECAR_UID), (http2, SIDECAR_UID))
    ]
    rows = []
    for sample in range(SAMPLES + 1):
        time.sleep(max(0.0, begun + (seconds - 1) * sample / SAMPLES - time.monotonic()))
        rows.append([f"{time.monotonic() - begun:.0f}", *(cell for p in processes.values() for cell in _held(p.pid))])
    outputs = [process.communicate(timeout=60)[0] for process in running]
    account = json.loads(outputs[0].splitlines()[-1])
    http2_line = next(line for line in outputs[1].splitlines() if line.startswith("requests:"))
    return account | {f"h2load {http2_line}": 1}, rows


def _held(pid: int) -> tuple[str, str]:
    return f"{resident(pid):.1f}", f"{len(list(Path(f'/proc/{pid}/fd').iterdir()))}"


if __name__ == "__main__":
    main()
