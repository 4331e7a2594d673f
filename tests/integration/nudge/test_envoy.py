"""Attaching behind a real Envoy under load."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest
import uvloop

from kdev.agent.nudge import Nudge
from kdev.agent.tap import Tap
from kdev.netlink.sock_diag import State
from tests.integration.netlink.namespaces import Namespace
from tests.integration.nudge.conftest import (
    LISTENER_PORT,
    POD4,
    PORT,
    await_sockets,
    istio_hop,
    relaying,
    running_nghttpd,
    running_traffic,
)
from tests.integration.nudge.envoy import LISTENER, running_envoy

pytestmark = pytest.mark.root

SECONDS = 3


@pytest.mark.parametrize("http2", [False, True], ids=["HTTP/1", "HTTP/2"])
def test_envoy_s_pool_moves_without_a_failed_request(pod: Namespace, tmp_path: Path, http2: bool) -> None:
    """Envoy leaves its connections at the word, sends what follows over new ones, and fails no request."""
    envoy = which("envoy", path=str(Path(sys.executable).parent)) or which("envoy")
    assert envoy is not None, "the sandbox's extra brings envoy"
    counts: list[int] = []

    async def attach() -> None:
        hop = istio_hop(POD4)
        async with relaying(POD4):
            with Tap([hop], [PORT], LISTENER_PORT):
                nudge = Nudge([hop], [PORT], counts.append)
                async with asyncio.timeout(20):
                    await nudge.run()
                assert nudge.hindrance is None
                report.append(await asyncio.to_thread(lambda: load.communicate()[0]))

    report: list[str] = []
    app = running_nghttpd(pod, POD4, tmp_path) if http2 else running_traffic(pod, POD4, clients=0, headers="date")
    command = ["h2load", "--h1", "-c8", "-m1", "-D", str(SECONDS), f"http://127.0.0.1:{LISTENER}/small"]
    with app, running_envoy(pod, envoy, tmp_path, http2=http2):
        load = subprocess.Popen(
            [*pod.entering(), *command], pass_fds=[pod.descriptor], stdout=subprocess.PIPE, text=True
        )
        with load:
            try:
                await_sockets(pod, State.ESTABLISHED)
                pod.call(lambda: uvloop.run(attach()))
            finally:
                load.kill()
    assert counts[0] > 0
    assert counts[-1] == 0
    found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", report[0])
    assert found is not None
    assert int(found[1]) > 100
    assert [int(n) for n in found.groups()[1:]] == [0, 0, 0]
    statuses = re.search(r"status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", report[0])
    assert statuses is not None
    assert [int(n) for n in statuses.groups()[1:]] == [0, 0, 0]
