"""A local process that is not there yet, hangs, or dies with a request in its hands."""

import subprocess
from pathlib import Path

import pytest

from tests.integration.resilience.outcomes import LOCAL, POD
from tests.integration.resilience.sessions import LocalProcess, local_process, session
from tests.integration.resilience.shop import HTTP1, Shop, until

pytestmark = pytest.mark.root


def test_it_does_not_listen_yet(shop: Shop, tmp_path: Path) -> None:
    """Requests stay on the pod until it listens, and kdev says what it waits for."""
    with local_process(tmp_path, listening=False) as local, session(shop, local, "--steal") as running:
        assert sorted(running.until("waiting")["ports"]) == sorted((local.http1, local.http2))
        assert shop.ask() == POD
        local.listen()
        running.until("ready")
        until(lambda: shop.ask() == LOCAL)
        running.interrupt()


def test_it_hangs(shop: Shop, local: LocalProcess) -> None:
    """A stolen request waits as long as ``--timeout`` says; others are not held up; then it goes on."""
    with session(shop, local, "--steal", "--timeout", "1s") as running:
        running.until("ready")
        until(lambda: shop.ask() == LOCAL)
        local.stop()
        assert shop.ask("/api/x", "-d", "one=1") == "504"
        assert shop.ask("/other") == POD
        local.go_on()
        until(lambda: shop.ask() == LOCAL)
        running.interrupt()


def test_it_dies_with_requests_in_its_hands(shop: Shop, local: LocalProcess) -> None:
    """A safe request is repeated on the pod; one that may have acted on the world is not, and says so."""
    with session(shop, local, "--steal") as running:
        running.until("ready")
        until(lambda: shop.ask() == LOCAL)
        local.stop()
        reading, writing = _asking(shop), _asking(shop, "-d", "one=1")
        until(lambda: local.held() >= 2)
        local.process.kill()
        assert reading.communicate(timeout=30)[0].startswith("HTTP/1.1 200")
        answer = writing.communicate(timeout=30)[0]
        assert answer.startswith("HTTP/1.1 502")
        assert "x-kdev-error:" in answer.lower()
        running.interrupt()


def test_a_flood_of_copies_is_bounded(shop: Shop, local: LocalProcess) -> None:
    """Copies that a hanging process does not take are dropped and counted; all requests are answered by the pod."""
    large = f"/api/x?{'.' * 4000}"
    with (
        shop.load(rate=200, connections=16, retries=False, path=large) as load,
        session(shop, local, "--mirror") as running,
    ):
        running.until("ready")
        local.stop()
        until(lambda: running.heard("request-seen", action="dropped"))
        outcomes = load.end()
        local.go_on()
        summary = running.interrupt()
    assert outcomes.failed == []
    assert set(outcomes.results) == {POD}
    assert summary["counts"]["dropped"] > 0


def _asking(shop: Shop, *options: str) -> subprocess.Popen[str]:
    url = f"http://{shop.addresses[False]}:{HTTP1}/api/x"
    command = shop.calling("curl", "-si", "-m", "30", *options, url)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
