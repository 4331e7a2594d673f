"""A session begins and ends under load: no request fails, no download breaks, STRICT holds throughout."""

import pytest

from tests.integration.resilience.outcomes import LOCAL
from tests.integration.resilience.sessions import LocalProcess, session
from tests.integration.resilience.shop import NAMESPACE, Shop

pytestmark = pytest.mark.root

RATE, CONNECTIONS = 200, 16


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
@pytest.mark.parametrize(("mode", "retries"), [("--mirror", True), ("--steal", False)])
def test_nothing_is_lost(shop: Shop, local: LocalProcess, mode: str, *, retries: bool, http2: bool) -> None:
    """All requests are answered, with and without the mesh's retries, and downloads from before and during complete."""
    with (
        shop.load(rate=RATE, connections=CONNECTIONS, http2=http2, retries=retries) as load,
        shop.downloads(http2=http2) as from_before,
        session(shop, local, mode) as running,
    ):
        running.until("ready")
        running.until("request-seen")
        assert _in_clear(shop) != 0
        with shop.downloads(http2=http2) as from_during:
            summary = running.interrupt()
            assert from_during.survived() == from_before.survived() == 8
        outcomes = load.end()
    assert outcomes.failed == []
    counted = summary["counts"]
    assert counted["failed"] == counted["fell_back"] == 0
    assert bool(outcomes.results[LOCAL]) == (mode == "--steal")
    assert counted["matched"] > 0


def _in_clear(shop: Shop) -> int:
    """Curl's exit code for a request that goes past the caller's sidecar."""
    url = f"http://{shop.pod['ip']}:8080/api/x"
    return shop.sandbox.curl("--from", NAMESPACE, "--plain", url).returncode
