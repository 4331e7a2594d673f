"""One laptop, from its request until it says goodbye, is interrupted, or is lost."""

import asyncio
import contextlib
from enum import StrEnum

from kdev.agent.laptops import Control, Laptop
from kdev.agent.reporting import Reporting
from kdev.agent.shadowing import TunnelShadowing
from kdev.errors import AgentFailure, Failure
from kdev.mesh_adapters.interface import Mesh
from kdev.tunnel.messages import Counts, Detach, Direct, Listening, Ready, Refusal, Shadow
from kdev.tunnel.yamux.protocol_error import RemoteProtocolError

REPORT_EVERY = 0.2
"""Seconds between live lines: soon enough to be felt as at once, seldom enough to cost nothing."""

REQUEST_WITHIN = 10.0
"""Seconds for the first message after the handshake; the laptop has it ready."""


class Outcome(StrEnum):
    """How a conversation ended."""

    DETACHED = "the laptop ended the session"
    LOST = "the tunnel to the laptop broke"


async def requested(laptop: Laptop) -> Shadow:
    """Wait for the first message, which says what to do.

    Raises:
        AgentFailure: Another message came, or none.
    """
    try:
        async with asyncio.timeout(REQUEST_WITHIN):
            message = await anext(laptop.control, None)
    except (TimeoutError, ConnectionError, RemoteProtocolError) as error:
        raise _no_request(f"{type(error).__name__}: {error}") from error
    if not isinstance(message, Shadow):
        raise _no_request(f"{type(message).__name__}")
    return message


def refuse(control: Control, failure: Failure) -> None:
    """Tell the laptop why its request cannot be served, if it can still be told."""
    why = failure.explanation
    with contextlib.suppress(ConnectionError):
        control.post(Refusal(reference=why.reference, cause=why.cause, seen=why.seen, advice=why.advice))


async def converse(laptop: Laptop, shadowing: TunnelShadowing, reporting: Reporting, mesh: Mesh) -> Outcome:
    """Serve one laptop, which is told that the tap is ready; its tunnel carries streams only while this runs."""
    shadowing.tunnel = laptop.tunnel
    ready = Ready(mesh=mesh.name, direct=reporting.direct, warnings=mesh.warnings)
    try:
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(_tell(laptop.control, reporting, ready))
            outcome = await _hear(laptop.control, shadowing)
            telling.cancel()
            return outcome
    finally:
        shadowing.tunnel = None
        shadowing.listening = frozenset()


async def _hear(control: Control, shadowing: TunnelShadowing) -> Outcome:
    try:
        async for message in control:
            match message:
                case Listening(ports=ports):
                    shadowing.listening = frozenset(ports)
                case Detach():
                    return Outcome.DETACHED
    except (ConnectionError, RemoteProtocolError):
        return Outcome.LOST
    return Outcome.LOST


async def _tell(control: Control, reporting: Reporting, ready: Ready) -> None:
    told, direct = Counts(), ready.direct
    with contextlib.suppress(ConnectionError):
        await control.send(ready)
        while True:
            for line in reporting.take_lines():
                await control.send(line)
            if reporting.direct != direct:
                direct = reporting.direct
                await control.send(Direct(connections=direct))
            if (counts := reporting.counts()) != told:
                told = counts
                await control.send(counts)
            await asyncio.sleep(REPORT_EVERY)


def _no_request(seen: str) -> AgentFailure:
    return AgentFailure(
        "agent-without-request",
        "The laptop did not say what to shadow",
        seen=seen,
        advice="run the same command again",
    )
