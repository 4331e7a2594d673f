"""The pod's claim: one session at a time, and the first one's owner is named."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from kdev.agent.claim import claim
from kdev.errors import AgentFailure


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_second_claim_is_refused_with_the_first_owners_name(run: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    """While one agent holds the claim, another is told who holds it."""

    async def claim_twice() -> None:
        async with claim("alice@laptop"), claim("bob@laptop"):
            pass

    with pytest.raises(AgentFailure) as failure:
        run(claim_twice())
    assert failure.value.explanation.reference == "pod-already-shadowed"
    assert "alice@laptop" in failure.value.explanation.cause


async def test_claim_is_free_again_after_the_first_has_ended() -> None:
    """The kernel gives the name back with the socket."""
    async with claim("alice"):
        pass
    async with claim("bob"):
        pass
