"""The developer's process as a session sees it: started once, its ports looked after, its end the session's."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from kdev.session import lifecycle
from kdev.session.lifecycle import Event
from kdev.session.listening import watch_listening


class LocalProcess(Protocol):
    """A running process; ``layer.child.Child`` is one."""

    async def wait(self) -> int:
        """Its exit code."""
        ...

    async def end(self) -> int:
        """End it, by force if need be; its exit code."""
        ...


Launch = Callable[[], Awaitable[LocalProcess]]
"""Starts the developer's process; called once, when the tap is up."""


class DeveloperProcess:
    """Runs the process if there is one to run, and watches its ports in any case.

    Args:
        launch: None when the process listens already, or will be started by somebody else.
        ports: The local port for each of the application's.
        post: Takes what happens.

    Attributes:
        exit_code: Once it has ended; None before, or when the session started none.
    """

    def __init__(self, launch: Launch | None, ports: Mapping[int, int], post: Callable[[Event], None]) -> None:
        self.exit_code: int | None = None
        self._launch = launch
        self._ports = dict(ports)
        self._post = post
        self._open: frozenset[int] = frozenset()

    @property
    def listening(self) -> tuple[int, ...]:
        """The application's ports for which a local process accepts connections."""
        return tuple(port for port, local in self._ports.items() if local in self._open)

    @property
    def missing(self) -> tuple[int, ...]:
        """The local ports that nobody listens on."""
        return tuple(sorted(set(self._ports.values()) - self._open))

    async def run(self) -> None:
        """Run it to its end; cancelled, end it.

        Raises:
            Failure: It cannot be started.
        """
        if self._launch is None:
            return
        process = await self._launch()
        try:
            self.exit_code = await process.wait()
        except asyncio.CancelledError:
            self.exit_code = await process.end()
            raise
        self._post(lifecycle.ProcessEnded(f"the process ended with exit code {self.exit_code}"))

    async def watch(self, tell: Callable[[tuple[int, ...]], None]) -> None:
        """Tell which ports have a process, first as it is and then at each change."""
        async for ports in watch_listening(set(self._ports.values())):
            self._open = ports
            tell(self.listening)
            self._post(lifecycle.LocalOpened() if ports else lifecycle.LocalClosed())
