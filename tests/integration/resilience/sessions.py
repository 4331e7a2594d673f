"""``kdev shadow`` as a process of its own, its news read as they come."""

import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.integration.resilience import nginx
from tests.integration.resilience.shop import NAMESPACE, Shop

WITHIN = 60.0
"""Seconds after which a session hangs; on a quiet machine it is ready in one."""


class LocalProcess:
    """The developer's process on two ports of loopback, for HTTP/1.1 and HTTP/2.

    Attributes:
        process: It, once it listens.
    """

    def __init__(self, scratch: Path) -> None:
        self.http1, self.http2 = _free_port(), _free_port()
        self.process: subprocess.Popen[bytes]
        self._configuration = nginx.local_process(scratch / f"local-{self.http1}", self.http1, self.http2)

    @property
    def ports(self) -> list[str]:
        """The options of ``kdev shadow`` that lead here."""
        return ["--port", f"{nginx.HTTP1}:{self.http1}", "--port", f"{nginx.HTTP2}:{self.http2}"]

    def listen(self) -> None:
        """Start it."""
        self.process = subprocess.Popen(nginx.command(self._configuration))
        for port in (self.http1, self.http2):
            _await_listening(port)

    def stop(self) -> None:
        """Have it hang, as at a breakpoint."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Have it run again."""
        self.process.send_signal(signal.SIGCONT)

    def held(self) -> int:
        """Connections with a request that it has not read."""
        listing = ("ss", "-Htn", "state", "established", f"( sport = :{self.http1} )")
        told = subprocess.run(listing, capture_output=True, text=True, check=True).stdout
        return sum(int(line.split()[0]) > 0 for line in told.splitlines())


@contextmanager
def local_process(scratch: Path, *, listening: bool = True) -> Iterator[LocalProcess]:
    """One that listens, or does not yet; it ends with the context."""
    local = LocalProcess(scratch)
    if listening:
        local.listen()
    try:
        yield local
    finally:
        local.process.kill()
        local.process.wait()


class Session:
    """A running ``kdev shadow``. News are dictionaries; ``heard_at`` is when one came, in seconds since the epoch."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []
        self._news: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, kind: str, seconds: float = WITHIN) -> dict[str, Any]:
        """The next piece of news of this kind."""
        deadline = time.monotonic() + seconds
        while True:
            item = self._news.get(timeout=max(deadline - time.monotonic(), 0.01))
            assert item is not None, f"no {kind}; last: {self.seen[-6:]}"
            self.seen.append(item)
            if item["type"] == kind:
                return item

    def heard(self, kind: str, **fields: object) -> bool:
        """Whether such a piece of news is among those that have come since the last call."""
        news = [self._news.get() for _ in range(self._news.qsize())]
        items = [item for item in news if item is not None]
        self.seen += items
        return any(item["type"] == kind and fields.items() <= item.items() for item in items)

    def interrupt(self) -> dict[str, Any]:
        """End it as Ctrl-C does; its summary."""
        self.process.send_signal(signal.SIGINT)
        summary = self.until("summary")
        self.process.wait(WITHIN)
        return summary

    def kill(self) -> None:
        """End it without any chance to hand back."""
        self.process.kill()
        self.process.wait()

    def cut(self) -> int:
        """Cut its connections to the API server, as a network does that forgets them; how many there were."""
        listing = subprocess.run(["ss", "-Htnp", "state", "established"], capture_output=True, text=True, check=True)
        ours = [line.split()[2] for line in listing.stdout.splitlines() if f"pid={self.process.pid}," in line]
        for local in ours:
            port = local.rsplit(":", 1)[1]
            subprocess.run(["ss", "-K", "src", f"127.0.0.1:{port}"], capture_output=True, check=True)
        return len(ours)

    def _read(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                told = json.loads(line) if line.startswith("{") else {"type": "talk", "text": line}
                self._news.put({**told, "heard_at": time.time()})
        self._news.put(None)


@contextmanager
def session(shop: Shop, local: LocalProcess, *options: str) -> Iterator[Session]:
    """``kdev shadow`` of the shop's ``/api/*``, begun but not yet ready; killed in the end if it still runs."""
    environment = {**shop.sandbox.environment, "KUBECONFIG": shop.sandbox.status()["kubeconfig"]}
    words = ["shadow", f"deploy/{shop.name}", "-n", NAMESPACE, "--filter", "path=/api/*", "--progress", "json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "kdev.cli", *words, *local.ports, *options],
        env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    running = Session(process)
    try:
        yield running
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGCONT)
            running.kill()
        running._reader.join()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port


def _await_listening(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < deadline, f"nobody listens on {port}"
            time.sleep(0.02)
        else:
            return
