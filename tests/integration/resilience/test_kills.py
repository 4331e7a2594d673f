"""kill -9 under load, of each process and of the tunnel: at most what was in flight at it fails, and nothing stays."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.integration.resilience.outcomes import LOCAL, POD, Outcomes
from tests.integration.resilience.sessions import LocalProcess, local_process, session
from tests.integration.resilience.shop import Load, Shop, open_shop, until
from tests.integration.sandbox.conftest import Sandbox

pytestmark = pytest.mark.root

RATE, CONNECTIONS = 200, 16
MODES = ("--mirror", "--steal")

LAPTOP_AWAY = 90.0
"""Seconds in which an agent whose laptop never comes back gives its pod up."""


@pytest.fixture(scope="module", autouse=True)
def abandoned(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Shop, Outcomes]]:
    """A pod whose ``kdev shadow`` was killed under load, begun first because its agent waits a minute for it."""
    scratch = tmp_path_factory.mktemp("abandoned")
    shop = open_shop(sandbox, scratch, "abandoned")
    with (
        local_process(scratch) as local,
        shop.load(rate=RATE, connections=CONNECTIONS, retries=False) as load,
        session(shop, local, "--steal") as running,
    ):
        running.until("ready")
        _until_answered_by(load, LOCAL)
        running.kill()
        _until_answered_by(load, POD)
        outcomes = load.end()
    return shop, outcomes


@pytest.mark.parametrize("mode", MODES)
def test_the_agent_is_killed(shop: Shop, local: LocalProcess, mode: str) -> None:
    """The pod answers at once, another agent is placed, and requests arrive again."""
    with shop.load(rate=RATE, connections=CONNECTIONS, retries=False) as load, session(shop, local, mode) as running:
        running.until("ready")
        running.until("request-seen")
        (agent,) = shop.agents()
        os.kill(agent, signal.SIGKILL)
        _until_answered_by(load, POD)
        running.until("ready")
        running.until("request-seen")
        running.interrupt()
        outcomes = load.end()
    assert len(outcomes.failed) <= CONNECTIONS
    assert shop.tables() == []


@pytest.mark.parametrize("mode", MODES)
def test_the_tunnel_is_cut(shop: Shop, local: LocalProcess, mode: str) -> None:
    """The pod answers meanwhile, the session comes back by itself, and requests arrive again at the same agent."""
    with shop.load(rate=RATE, connections=CONNECTIONS, retries=False) as load, session(shop, local, mode) as running:
        running.until("ready")
        running.until("request-seen")
        agents = shop.agents()
        assert running.cut()
        running.until("ready")
        running.until("request-seen")
        assert shop.agents() == agents
        running.interrupt()
        outcomes = load.end()
    assert outcomes.failed == []


@pytest.mark.parametrize("mode", MODES)
def test_the_local_process_is_killed(shop: Shop, local: LocalProcess, mode: str) -> None:
    """The pod answers instead, also what the process had begun, for requests that may be repeated."""
    with shop.load(rate=RATE, connections=CONNECTIONS, retries=False) as load, session(shop, local, mode) as running:
        running.until("ready")
        running.until("request-seen")
        local.process.kill()
        running.until("waiting")
        _until_answered_by(load, POD)
        running.interrupt()
        outcomes = load.end()
    assert outcomes.failed == []


def test_the_command_is_killed(abandoned: tuple[Shop, Outcomes]) -> None:
    """What the local process had not answered when ``kdev shadow`` was killed is answered by the pod."""
    _, outcomes = abandoned
    assert outcomes.results[LOCAL] > 0
    assert outcomes.failed == []


def test_an_abandoned_agent_gives_up(abandoned: tuple[Shop, Outcomes]) -> None:
    """When the laptop does not come back, its agent leaves nothing in the pod."""
    shop, _ = abandoned
    shop.await_nothing_left(LAPTOP_AWAY)
    assert shop.ask() == POD


def _until_answered_by(load: Load, who: str) -> None:
    """Wait until a request that is sent from now on is answered so."""
    now = time.time()
    until(lambda: Outcomes.read(load.log).since(now).results[who] > 0)
