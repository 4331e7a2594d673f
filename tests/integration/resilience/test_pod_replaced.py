"""The pod is deleted while it is shadowed."""

from pathlib import Path

import pytest

from tests.integration.resilience.outcomes import LOCAL
from tests.integration.resilience.sessions import LocalProcess, session
from tests.integration.resilience.shop import NAMESPACE, open_shop, until
from tests.integration.sandbox.conftest import Sandbox

pytestmark = pytest.mark.root


def test_the_session_follows_to_the_successor(sandbox: Sandbox, local: LocalProcess, tmp_path: Path) -> None:
    """A new agent is placed in the new pod, and its requests arrive."""
    shop = open_shop(sandbox, tmp_path, "replaced")
    with session(shop, local, "--steal") as running:
        (before,) = running.until("ready")["pods"]
        deleted = sandbox.kubectl("-n", NAMESPACE, "delete", "pod", before, "--wait=false")
        assert deleted.returncode == 0, deleted.stderr
        (after,) = running.until("ready")["pods"]
        assert after != before
        until(lambda: shop.ask() == LOCAL)
        running.interrupt()
    until(lambda: not any(pod["name"] == before for pod in sandbox.pods(NAMESPACE, "replaced")))
    shop.await_nothing_left()
