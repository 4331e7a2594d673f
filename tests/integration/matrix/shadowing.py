"""``kdev shadow`` as a test runs it, and the two ends that answer."""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.integration.matrix.programs.ledger import WITHIN, Record
from tests.integration.matrix.programs.speaker import PORTS
from tests.integration.sandbox.conftest import Sandbox

POD_PORTS = dict(zip(PORTS, (8080, 8081, 9090, 7000, 7001, 8000), strict=True))
"""Where the speaker in the pod listens; the ledger's is nobody's business and declared nowhere."""

CALLER = "spiffe://cluster.local/ns/staging/sa/caller"

News = dict[str, Any]


@dataclass(frozen=True)
class Ledgers:
    """What the two speakers were asked.

    Attributes:
        sandbox: Where one of them is.
        workload: Its deployment, and its service.
        local: Where the other one listens, by what it speaks.
    """

    sandbox: Sandbox
    workload: str
    local: dict[str, int]

    def pod(self, cell: str, kind: str, count: int = 1) -> list[Record]:
        """What arrived at the application, awaited; asked from inside the pod, where nobody taps."""
        return self._ask(_url(POD_PORTS["ledger"], f"?cell={cell}&kind={kind}&count={count}"), inside=True)

    def process(self, cell: str, kind: str, count: int = 1) -> list[Record]:
        """What arrived at the local process, awaited."""
        return self._ask(_url(self.local["ledger"], f"?cell={cell}&kind={kind}&count={count}"), inside=False)

    def await_arrived(self, cell: str, size: int) -> None:
        """Wait until so much of a body has arrived at the local process."""
        url = f"http://127.0.0.1:{self.local['ledger']}/arrived?cell={cell}&size={size}"
        with urllib.request.urlopen(url, timeout=WITHIN + 5) as answer:
            answer.read()

    def all_of_process(self) -> list[Record]:
        """Everything that arrived at the local process so far."""
        return self._ask(_url(self.local["ledger"], ""), inside=False)

    def _ask(self, url: str, *, inside: bool) -> list[Record]:
        request = ["curl", "-sS", "--fail", "-m", str(WITHIN + 5), url]
        if inside:
            asked = self.sandbox.command("exec", "-n", "staging", self.workload, "--", *request)
        else:
            asked = subprocess.run(request, capture_output=True, text=True, check=False)
        assert asked.returncode == 0, f"{url}: {asked.stderr}"
        records: list[Record] = json.loads(asked.stdout)
        return records


def _url(port: int, query: str) -> str:
    return f"http://127.0.0.1:{port}/records{query}"


class Shadow:
    """A running ``kdev shadow``, whose news are read as they come."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        self._news: list[News] = []
        self._changed = threading.Condition()
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def until(self, kind: str, wanted: Callable[[News], bool] = lambda _: True) -> News:
        """The first piece of news of this kind that is as wanted, awaited."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._find(kind, wanted) or self._ended, WITHIN), self._news
            found = self._find(kind, wanted)
            assert found is not None, self._news
            return found

    def end(self) -> News:
        """Interrupt it; its summary."""
        self._process.send_signal(signal.SIGINT)
        summary = self.until("summary")
        assert self._process.wait(WITHIN) == 0
        return summary

    def close(self) -> None:
        """Whatever has happened, leave no process behind."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def _find(self, kind: str, wanted: Callable[[News], bool]) -> News | None:
        return next((item for item in self._news if item["type"] == kind and wanted(item)), None)

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            item = json.loads(line) if line.startswith("{") else {"type": "text", "text": line}
            with self._changed:
                self._news.append(item)
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@contextmanager
def shadowing(ledgers: Ledgers, *options: str) -> Iterator[Shadow]:
    """``kdev shadow WORKLOAD OPTIONS``, ready, with all ports led to the local speaker."""
    sandbox = ledgers.sandbox
    mapped = [f"--port={POD_PORTS[name]}:{ledgers.local[name]}" for name in PORTS if name != "ledger"]
    target = (f"deploy/{ledgers.workload}", "-n", "staging")
    process = subprocess.Popen(
        [sys.executable, "-m", "kdev.cli", "shadow", *target, *mapped, *options, "--progress", "json"],
        env={**os.environ, **sandbox.environment, "KUBECONFIG": sandbox.status()["kubeconfig"]},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    shadow = Shadow(process)
    try:
        shadow.until("ready")
        yield shadow
    finally:
        shadow.close()
