"""A pod without a cluster: a network namespace in which an application, a stand-in sidecar and the real agent run.

The sidecar's side of the hop is imitated by a user (1337) whose connections to the pod's address leave from
127.0.0.6, so that any client program started as that user is the sidecar's hop: curl, wrk, h2load.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from nacl.signing import SigningKey

from kdev.agent.settings import Settings
from kdev.tunnel.messages import Container, Mode, PodFacts, Probe, Shadow

POD_IP = "10.231.0.2"
SIDECAR_UID = 1337
_SETUP = f"""
ip link set lo up
ip addr add {POD_IP}/32 dev lo
ip rule add pref 5 uidrange {SIDECAR_UID}-{SIDECAR_UID} lookup 77
ip rule add pref 10 lookup local
ip rule del pref 0
ip route add table 77 local {POD_IP} dev lo src 127.0.0.6
"""
_LISTENERS = """
import os, socket, sys
os.setuid(%d)
held = [socket.create_server(("0.0.0.0", port)) for port in (15000, 15001, 15006)]
print("listening", flush=True)
sys.stdin.read()
"""


class PodNamespace:
    """The namespace and what runs in it; everything ends with the context."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        self._stack = contextlib.ExitStack()
        self._holder: subprocess.Popen[bytes]

    def __enter__(self) -> Self:
        with self._stack:
            self._holder = self._started(["unshare", "--net", sys.executable, "-c", _HOLD], b"held")
            assert Path(f"/proc/{self._holder.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
            self.run("sh", "-ec", _SETUP)
            self.start(sys.executable, "-c", _LISTENERS % SIDECAR_UID, ready=b"listening")
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def inside(self, *command: str, user: int | None = None) -> list[str]:
        """The command line that runs a command in the namespace."""
        as_user = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"] if user is not None else []
        return ["nsenter", f"--net=/proc/{self._holder.pid}/ns/net", *as_user, *command]

    def run(self, *command: str, user: int | None = None, timeout: float = 60) -> str:
        """Run a command in the namespace to its end; its output."""
        done = subprocess.run(
            self.inside(*command, user=user), check=True, capture_output=True, text=True, timeout=timeout
        )
        return done.stdout

    def start(
        self, *command: str, ready: bytes, user: int | None = None, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program that prints a line with ``ready`` in it when it is; it ends with the namespace."""
        return self._started(self.inside(*command, user=user), ready, environment)

    def nginx(self, address: str, port: int, *, body: str, http2: bool = False) -> subprocess.Popen[bytes]:
        """Start a server of 1 kB answers, and of 100 MB at /large, with one worker.

        With ``http2`` it speaks only that, by prior knowledge.
        """
        folder = self.scratch / f"nginx-{port}"
        folder.mkdir()
        protocol = "http2" if http2 else ""
        text = _NGINX.format(folder=folder, address=address, port=port, protocol=protocol, body=body.ljust(1024, "."))
        (folder / "conf").write_text(text)
        with (folder / "large").open("wb") as large:
            large.truncate(100_000_000)
        process = subprocess.Popen(self.inside("nginx", "-e", "stderr", "-c", str(folder / "conf")))
        self._stack.callback(_stop, process)
        self.await_port(address, port)
        return process

    def await_port(self, address: str, port: int) -> None:
        """Wait until something accepts there."""
        self.run(sys.executable, "-c", _CONNECT, address, str(port))

    def await_connection(self, address: str, port: int) -> None:
        """Wait until somebody is connected there."""
        listing = ("ss", "-Htn", "state", "established", "dst", f"{address}:{port}")
        for _ in range(1000):
            if self.run(*listing):
                return
        raise AssertionError(f"nobody connects to {address}:{port}")

    def agent(self, key: SigningKey, *, port: int = 15990, loop: str = "uvloop") -> subprocess.Popen[bytes]:
        """Start the agent, ready for one laptop with this key, with the capabilities that its container has."""
        program = ("-m", "kdev.agent") if loop == "uvloop" else ("-c", _AGENT_ON_ASYNCIO)
        settings = Settings("test", bytes(key.verify_key), "tests@here", port)
        capabilities = "-all,+net_admin,+setuid,+setgid"
        return self.start(
            "setpriv", f"--bounding-set={capabilities}", "--no-new-privs", sys.executable, *program,
            ready=b"public key", environment=settings.environment(),
        )  # fmt: skip

    def laptop(
        self, key: SigningKey, shadow: Shadow, ports: Mapping[int, int], *, port: int = 15990, loop: str = "uvloop"
    ) -> subprocess.Popen[bytes]:
        """Start the laptop's side as a process of its own, and wait until the agent says that it is ready."""
        told = json.dumps(
            {"key": bytes(key).hex(), "shadow": _plain(shadow), "ports": dict(ports), "port": port, "loop": loop}
        )
        return self.start(sys.executable, "-m", "tests.bare_laptop", told, ready=b"ready {")

    def _started(
        self, command: Sequence[str], ready: bytes = b"", environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        log = self.scratch / f"{len(list(self.scratch.iterdir()))}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT,
                env=os.environ | dict(environment or {}),
            )  # fmt: skip
        process.log = log  # type: ignore[attr-defined]  # for whoever asks what it said
        self._stack.callback(_end, process)
        await_in(log, ready, process)
        return process


_CONNECT = """
import socket, sys, time
deadline = time.monotonic() + 20
while True:
    try:
        socket.create_connection((sys.argv[1], int(sys.argv[2])), 1)
        break
    except OSError:
        assert time.monotonic() < deadline
        time.sleep(0.02)
"""
_AGENT_ON_ASYNCIO = (
    "import asyncio, sys, uvloop; uvloop.run = asyncio.run; import kdev.agent.__main__ as agent; sys.exit(agent.main())"
)
_HOLD = "import sys; print('held', flush=True); sys.stdin.read()"
_NGINX = """
daemon off; worker_processes 1; pid {folder}/pid; user root;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; client_max_body_size 0;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{
    listen {address}:{port} {protocol};
    location / {{ return 200 '{body}'; }}
    location = /large {{ alias {folder}/large; }}
  }}
}}
"""


def facts() -> PodFacts:
    """What a laptop would have read of this pod."""
    sidecar = Container(name="istio-proxy", image="proxyv2", init=True, sidecar=True, user=SIDECAR_UID)
    return PodFacts(namespace="test", name="pod", ip=POD_IP, containers=(sidecar,))


def shadow(mode: Mode, *filters: str, port: int = 8080, probes: tuple[Probe, ...] = (), sample: float = 1.0) -> Shadow:
    """A request to shadow this pod."""
    return Shadow(
        mode=mode,
        filters=filters,
        ports=(port,),
        probes=probes,
        sample=sample,
        timeout=None,
        owner="tests",
        pod=facts(),
    )


def _plain(message: Shadow) -> object:
    import msgspec

    return msgspec.to_builtins(message)


def await_in(log: Path, text: bytes, process: subprocess.Popen[bytes] | None = None) -> None:
    """Wait until a log has this text; at once an error when the process that writes it has ended without."""
    for _ in range(1500):
        if text in log.read_bytes():
            return
        if process is not None and process.poll() is not None:
            break
        time.sleep(0.02)
    raise AssertionError(f"{text!r} is not in: {log.read_text()}")


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
    process.wait()
    if process.stdin is not None:
        process.stdin.close()


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End a server that has workers: killed, it would leave them behind."""
    process.terminate()
    process.wait(10)
