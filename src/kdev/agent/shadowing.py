"""The session as the splice sees it: a matcher, and streams to a process that may come and go."""

import asyncio
import random
from collections.abc import Callable

from kdev.policies.matching import Matcher
from kdev.proxy.interface import Report, Upstream
from kdev.tunnel.messages import Shadow
from kdev.tunnel.stream_opening import open_stream
from kdev.tunnel.streams import StreamForm
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.yamux.protocol_error import LocalProtocolError


class TunnelShadowing:
    """Implements ``proxy.interface.Shadowing`` over a tunnel.

    The tunnel and the listening ports change while the session lives; everything else was asked for at its begin.

    Attributes:
        tunnel: To the laptop; None while it is away.
        listening: The application's ports for which a local process accepts.
    """

    def __init__(self, request: Shadow, matcher: Matcher, report: Callable[[Report], None]) -> None:
        self.mode = request.mode
        self.matcher = matcher
        self.timeout = request.timeout
        self.report = report
        self.tunnel: Tunnel | None = None
        self.listening: frozenset[int] = frozenset()
        self._sample = request.sample

    def current(self) -> "TunnelShadowing | None":
        """Itself while a request could reach a local process, None while everything stays on the pod."""
        return self if self.listening and self.tunnel is not None else None

    def sampled(self) -> bool:
        """Whether this matched request is among the share that is acted on."""
        return self._sample >= 1 or random.random() < self._sample  # noqa: S311 - a share, not a secret

    def open(self, port: int, protocol: Upstream, *, form: StreamForm) -> asyncio.Transport | None:
        """Open a stream to the local process for ``port``; None when it cannot be reached now."""
        if self.tunnel is None or port not in self.listening or not self.tunnel.can_open:
            return None
        try:
            return open_stream(self.tunnel, port, form, protocol)
        except (ConnectionError, LocalProtocolError):
            return None
