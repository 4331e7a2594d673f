"""What begins, ends and kills cost a workload under load: failed requests, broken downloads, time until it is whole.

Everything is real: a sandbox, two sidecars in STRICT mTLS, ``kdev shadow`` as a process of its own. Run as root with
``python -m benchmarks.resilience [seconds of a download]``; prints Markdown.
"""

import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from benchmarks.measuring import table
from tests.integration.resilience.outcomes import LOCAL, Outcomes
from tests.integration.resilience.sessions import LocalProcess, Session, local_process, session
from tests.integration.resilience.shop import Load, Shop, open_shop
from tests.integration.sandbox.conftest import named

DOWNLOADS = 8
SETTLED = 1.0
"""Seconds between two events of a case; the goal for moved connections is set for one second, too."""


@dataclass(frozen=True)
class Case:
    """One load and one mode."""

    rate: int
    connections: int
    http2: bool
    mode: str
    retries: bool

    @property
    def protocol(self) -> str:
        """As the table says it."""
        return "h2" if self.http2 else "HTTP/1.1"

    @property
    def words(self) -> tuple[object, ...]:
        """The row's begin."""
        return self.protocol, self.rate, self.connections, self.mode, "yes" if self.retries else "no"

    def load(self, shop: Shop) -> AbstractContextManager[Load]:
        """The load, running."""
        return shop.load(rate=self.rate, connections=self.connections, http2=self.http2, retries=self.retries)


MODES = (("mirror", True), ("steal", False))
BEGIN_AND_END = tuple(
    Case(rate, connections, http2, *MODES[number % 2])
    for number, (http2, connections, rate) in enumerate(product((False, True), (16, 64), (100, 1000, 5000)))
)
KILLS = tuple(Case(1000, 16, http2, mode, retries=False) for http2, mode in product((False, True), ("mirror", "steal")))


@dataclass(frozen=True)
class Running:
    """What there is to kill while a session serves."""

    shop: Shop
    session: Session
    local: LocalProcess


def begin_and_end(shop: Shop, case: Case, scratch: Path) -> tuple[object, ...]:
    """One row: a session begins and ends."""
    with (
        case.load(shop) as load,
        shop.downloads(DOWNLOADS, http2=case.http2) as before,
        local_process(scratch) as local,
    ):
        direct = shop.direct()
        with session(shop, local, f"--{case.mode}") as running:
            ready = running.until("ready")
            time.sleep(SETTLED)
            left = shop.direct()
            with shop.downloads(DOWNLOADS, http2=case.http2) as through:
                time.sleep(SETTLED)
                ending = time.time()
                summary = running.interrupt()
                survived = f"{before.survived()} + {through.survived()}"
        outcomes = load.end()
    serving = Outcomes(tuple(one for one in outcomes.since(ready["heard_at"] + SETTLED).all if one.sent < ending))
    arrived = f"{serving.results[LOCAL] / len(serving.all):.0%}" if case.mode == "steal" else "-"
    # A download holds its connection; over HTTP/2 it holds the one that it shares with everything else.
    movable = direct - DOWNLOADS
    moved = "-" if case.http2 else f"{min(direct - left, movable) / movable:.0%} of {movable}"
    shop.await_nothing_left()
    failed = f"{len(outcomes.failed)} of {len(outcomes.all)}"
    return *case.words, f"{outcomes.rate:.0f}", failed, moved, arrived, survived, summary["counts"]["matched"]


def kill_agent(running: Running) -> None:
    """The process in the pod; another is placed."""
    (agent,) = running.shop.agents()
    os.kill(agent, signal.SIGKILL)
    running.session.until("ready")


def kill_command(running: Running) -> None:
    """The process on the laptop; nobody comes back."""
    running.session.kill()


def kill_local_process(running: Running) -> None:
    """The developer's process; the session waits for it."""
    running.local.process.kill()
    running.session.until("waiting")


def cut_tunnel(running: Running) -> None:
    """All connections to the API server; the session connects again."""
    running.session.cut()
    running.session.until("ready")


def kill(shop: Shop, case: Case, scratch: Path, act: Callable[[Running], None]) -> tuple[object, ...]:
    """One row: something is killed while a session serves."""
    with (
        case.load(shop) as load,
        shop.downloads(DOWNLOADS, http2=case.http2) as before,
        local_process(scratch) as local,
        session(shop, local, f"--{case.mode}") as running,
    ):
        running.until("ready")
        time.sleep(SETTLED)
        with shop.downloads(DOWNLOADS, http2=case.http2) as through:
            killed = time.time()
            act(Running(shop, running, local))
            whole = time.time() - killed
            time.sleep(SETTLED)
            outcomes = load.end()
            survived = f"{before.survived()} + {through.survived()}"
        if running.process.poll() is None:
            running.interrupt()
    in_flight = len(outcomes.in_flight_at(killed).all)
    last = max((one.sent for one in outcomes.failed), default=killed) - killed
    failed = f"{len(outcomes.failed)} of {len(outcomes.all)}"
    return (
        act.__name__.replace("_", " "),
        *case.words[:4],
        failed,
        in_flight,
        f"{last * 1e3:.0f}",
        f"{whole:.2f}",
        survived,
    )


_BEGIN_AND_END_HEAD = (
    "protocol", "asked/s", "connections", "mode", "retries", "reached/s", "failed", "moved after 1 s",
    "answered locally", "downloads", "matched",
)  # fmt: skip
_KILL_HEAD = (
    "event", "protocol", "asked/s", "connections", "mode", "failed", "in flight", "last failed, ms", "whole again, s",
    "downloads",
)  # fmt: skip


def main() -> None:
    """Measure everything and print it."""
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        sandbox = named("bench", scratch)
        try:
            assert sandbox.command("up").returncode == 0
            shop = open_shop(sandbox, scratch, download_seconds=seconds)
            print(table(_BEGIN_AND_END_HEAD, _rows(begin_and_end(shop, case, scratch) for case in BEGIN_AND_END)))
            print()
            acts = (kill_agent, kill_local_process, cut_tunnel)
            rows = list(_rows(kill(shop, case, scratch, act) for act, case in product(acts, KILLS)))
            # An agent whose laptop is gone keeps its pod for a minute: each of these has a workload of its own.
            for number, case in enumerate(KILLS):
                own = open_shop(sandbox, scratch, f"shop-{number}", download_seconds=seconds)
                rows.append(kill(own, case, scratch, kill_command))
            print(table(_KILL_HEAD, rows))
        finally:
            sandbox.command("down")


def _rows(rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    """Each row as it comes, told on stderr."""
    for row in rows:
        print(*row, file=sys.stderr, flush=True)
        yield row


if __name__ == "__main__":
    main()
