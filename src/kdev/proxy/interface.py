"""What the splice asks of the session that it serves.

The agent implements ``Shadowing``; tests implement it in memory. The splice never learns what is behind a
``open`` except an ``asyncio.Transport``: a stream of the tunnel.
"""

import asyncio
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol

import msgspec

from kdev.policies.matching import Matcher
from kdev.tunnel.messages import Mode
from kdev.tunnel.streams import StreamForm


class Outcome(StrEnum):
    """What became of one matched request, for counts and live lines."""

    MIRRORED = "mirrored"
    STOLEN = "stolen"
    DROPPED = "dropped"
    FELL_BACK = "fell-back"
    FAILED = "failed"


class Report(msgspec.Struct, frozen=True, gc=False):
    """One matched request and what became of it.

    There is one for each request, and few are ever looked at: so it is a struct of msgspec, which comes into being
    five times faster than a frozen dataclass, of bytes that nobody has decoded.

    Attributes:
        port: The application's.
        method: As sent.
        target: As sent, with the query.
        outcome: What became of it.
        detail: Why, for all but the first two outcomes.
    """

    port: int
    method: bytes
    target: bytes
    outcome: Outcome
    detail: str = ""

    @property
    def path(self) -> str:
        """The target without the query, which may hold what is nobody's business."""
        return self.target.partition(b"?")[0].decode("latin-1")


class Upstream(asyncio.Protocol):
    """The protocol of a stream to the developer's process.

    ``connection_made`` comes at once and writing is allowed from then on; ``accepted`` comes when the process has
    taken the connection. A process that cannot be reached is ``connection_lost`` with ``ConnectionRefusedError``:
    nothing was delivered. When a stream ends, its transport's ``get_extra_info("delivered")`` says how many of the
    bytes written to it were handed to the process, or None where nobody knows (the tunnel broke).
    """

    def accepted(self) -> None:
        """The developer's process has accepted the connection."""


class Shadowing(Protocol):
    """One session, as the splice sees it.

    Attributes:
        mode: Mirror or steal.
        matcher: Decides on request heads; knows the probes to leave alone.
        timeout: Seconds a stolen request waits for the first byte of its answer; None for ever.
        report: Called once for each matched request.
    """

    mode: Mode
    matcher: Matcher
    timeout: float | None
    report: Callable[[Report], None]

    def sampled(self) -> bool:
        """Whether this matched request is among the share that is acted on."""
        ...

    def open(self, port: int, protocol: Upstream, *, form: StreamForm) -> asyncio.Transport | None:
        """Open a stream to the developer's process for ``port``, or return None when it cannot be reached now."""
        ...


Current = Callable[[], Shadowing | None]
"""Asked for each new request: the session to serve, or None when everything stays on the pod."""
