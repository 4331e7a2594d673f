"""The watchdog: silent while the loop turns, quick when it does not."""

import asyncio
import threading

from kdev.agent.watchdog import Watchdog


async def test_watchdog_drops_the_tap_when_the_loop_is_stuck() -> None:
    """A loop that does not turn for longer than allowed loses the tap, from another thread."""
    dropped = threading.Event()
    with Watchdog(dropped.set, stuck_after=0.05) as watchdog:
        assert dropped.wait(10)
        await watchdog.fired()


async def test_watchdog_is_silent_while_the_loop_turns() -> None:
    """A loop that turns keeps its tap for as long as it likes."""
    dropped = threading.Event()
    with Watchdog(dropped.set, stuck_after=0.4):
        for _ in range(20):
            await asyncio.sleep(0.04)
    assert not dropped.is_set()
