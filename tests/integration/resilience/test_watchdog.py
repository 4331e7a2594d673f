"""The agent's event loop is stuck: its watchdog drops a real tap all the same."""

import sys
from pathlib import Path

import pytest

from tests.pod_namespace import PodNamespace

pytestmark = pytest.mark.root

_STUCK = """
import asyncio, subprocess, time
from kdev.agent.tap import Tap
from kdev.agent.watchdog import Watchdog
from kdev.mesh_adapters.interface import Hop

def tapped():
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True).stdout
    return "table inet kdev" in tables.splitlines()

async def main():
    with Tap((Hop(local=True, uid=1337),), (8080,), 15901) as tap, Watchdog(tap.drop, stuck_after=0.2):
        print(tapped())
        deadline = time.monotonic() + 20
        while tapped() and time.monotonic() < deadline:
            time.sleep(0.05)  # never gives the loop its turn
        print(tapped())

asyncio.run(main())
"""


def test_a_stuck_agent_taps_nothing(tmp_path: Path) -> None:
    """While the loop does not turn, a thread closes the tap's socket, and the kernel removes the rule."""
    with PodNamespace(tmp_path) as pod:
        assert pod.run(sys.executable, "-c", _STUCK).split() == ["True", "False"]
