"""Attaching to living connections: all of them move to the agent, and no request fails."""

import asyncio
from pathlib import Path

import pytest
import uvloop

from kdev.agent.nudge import Nudge
from kdev.agent.tap import Tap
from tests.integration.netlink.namespaces import Namespace
from tests.integration.nudge.conftest import (
    LISTENER_PORT,
    POD4,
    POD6,
    PORT,
    istio_hop,
    relaying,
    running_traffic,
    running_traffic_h2,
)

pytestmark = pytest.mark.root

CLIENTS = 8


@pytest.mark.parametrize("host", [POD4, POD6])
@pytest.mark.parametrize("headers", ["date", "keep-alive", "bare"])
def test_every_connection_moves_and_no_request_fails(pod: Namespace, host: str, headers: str) -> None:
    """Kept-alive connections under steady requests leave at the word in a response, with or without room for it."""
    counts: list[int] = []

    async def attach() -> dict[str, int]:
        hop = istio_hop(host)
        async with relaying(host):
            with Tap([hop], [PORT], LISTENER_PORT):
                nudge = Nudge([hop], [PORT], counts.append)
                async with asyncio.timeout(20):
                    await nudge.run()
                assert nudge.hindrance is None
                before = await asyncio.to_thread(traffic.seen)
                await asyncio.sleep(0.1)
                after = await asyncio.to_thread(traffic.end)
        assert before["direct"] > 0
        assert (after["direct"], after["requests"] > 0) == (0, True)
        return {key: before.get(key, 0) + after.get(key, 0) for key in before.keys() | after.keys()}

    with running_traffic(pod, host, clients=CLIENTS, headers=headers) as traffic:
        seen = pod.call(lambda: uvloop.run(attach()))
    assert counts[0] == CLIENTS
    assert counts[-1] == 0
    assert {key: value for key, value in seen.items() if key.startswith("failed")} == {}
    assert seen["asked"] == CLIENTS
    assert pod.run("nft", "list", "ruleset") == ""


@pytest.mark.parametrize("host", [POD4, POD6])
def test_http2_connections_move_at_a_goaway(pod: Namespace, host: str, tmp_path: Path) -> None:
    """Busy HTTP/2 connections, downloads in them included, end every stream and come back through the tap."""
    counts: list[int] = []

    async def attach() -> None:
        hop = istio_hop(host)
        async with relaying(host):
            with Tap([hop], [PORT], LISTENER_PORT):
                nudge = Nudge([hop], [PORT], counts.append)
                async with asyncio.timeout(20):
                    await nudge.run()
                assert nudge.hindrance is None
                seen.update(await asyncio.to_thread(traffic.end))

    seen: dict[str, int] = {}
    with running_traffic_h2(pod, host, tmp_path, connections=3, large=20_000_000) as traffic:
        pod.call(lambda: uvloop.run(attach()))
    assert (counts[0], counts[-1]) == (3, 0)
    assert {key: value for key, value in seen.items() if key.startswith("failed")} == {}
    assert seen["asked"] == 3
    assert pod.run("nft", "list", "ruleset") == ""
