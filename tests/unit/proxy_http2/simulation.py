"""A random session of a strict client against the router, the pod's server and the developer's, in memory."""

import random
from collections import Counter
from dataclasses import dataclass, field

from kdev.proxy.http2.origin import OriginConnection
from kdev.proxy.http2.router import Router
from kdev.proxy.interface import Report, Shadowing
from kdev.tunnel.messages import Mode
from tests.unit.proxy_http2.peers import Client, Server

STEPS = 400_000
"""Of one session; a few thousand are usual, and more than this means that it hangs."""


@dataclass
class PathMatcher:
    """Matches paths that begin with a prefix."""

    prefix: bytes = b"/b"
    wanted: frozenset[bytes] = frozenset({b":path"})

    def match_fields(self, fields: dict[bytes, bytes], port: int) -> bool:
        """As ``Matcher.match_fields``."""
        return fields[b":path"].startswith(self.prefix)


@dataclass
class Session:
    """A session whose reports are kept."""

    mode: Mode = Mode.STEAL
    matcher: PathMatcher = field(default_factory=PathMatcher)
    timeout: float | None = None
    reports: list[Report] = field(default_factory=list)

    def report(self, report: Report) -> None:
        """Keep it."""
        self.reports.append(report)

    def sampled(self) -> bool:
        """Every one."""
        return True


@dataclass(frozen=True)
class Trouble:
    """How likely, at each step, the developer's side fails in a certain way.

    Attributes:
        refuse: A connection is refused instead of accepted (once, at its begin).
        kill: An open connection is lost, and nobody knows what it had delivered.
        leave: The server says GOAWAY.
    """

    refuse: float = 0
    kill: float = 0
    leave: float = 0


class Link:
    """One connection of the splice's to a server, with bytes on the way."""

    def __init__(self, origin: OriginConnection, server: Server) -> None:
        self.origin, self.server = origin, server
        self.accepted = False
        self.left = False
        self.coming = b""


class Simulation:
    """Everybody, and the bytes between them."""

    def __init__(self, seed: int, *, trouble: Trouble = Trouble(), requests: int | None = None) -> None:
        self.rnd = random.Random(seed)
        self.trouble = trouble
        # hyper-h2 cannot take an interim answer on a stream that it has reset.
        self.cancels = seed % 2 == 0
        self.session = Session()
        self.pod_server = self._server("pod")
        self.client = Client(self.rnd, requests or self.rnd.randint(5, 40), cancels=self.cancels)
        self.links: list[Link] = []
        self.servers = [self.pod_server]
        self.everybody = [self.pod_server]
        self.router = Router(80, self._current, self, lambda: 0.0)
        self._from_client = self._from_pod = b""

    def _current(self) -> Shadowing | None:
        return self.session  # type: ignore[return-value]  # stands in for the agent's

    def _server(self, name: str) -> Server:
        return Server(name, self.rnd, informational=not self.cancels)

    def _link(self, name: str) -> OriginConnection:
        link = Link(OriginConnection(self.router.stolen), self._server(name))
        self.links.append(link)
        self.servers.append(link.server)
        self.everybody.append(link.server)
        return link.origin

    def developer(self, session: Shadowing) -> OriginConnection | None:
        """Implements ``Origins``."""
        for link in self.links:
            if link.server.name == "developer" and not link.origin.going_away:
                return link.origin
        return self._link("developer")

    def pod(self) -> OriginConnection:
        """Implements ``Origins``."""
        for link in self.links:
            if link.server.name == "pod" and not link.origin.going_away:
                return link.origin
        return self._link("pod")

    def run(self) -> Counter[str]:
        """Run to the end; returns how many streams ended in which way."""
        for _ in range(STEPS):
            if self.client.finished:
                return Counter(self.client.done.values())
            self.client.work()
            for server in self.servers:
                server.work()
            self._move()
            for link in list(self.links):
                self._disturb(link)
                self._move_link(link)
        raise AssertionError(f"stuck: {self.client.open} {self.router.held_bytes} {len(self.router.stolen)}")

    def _piece(self, data: bytes) -> tuple[bytes, bytes]:
        size = self.rnd.choice([1, 5, 9, 100, 5000, 10**6]) if self.rnd.random() < 0.5 else 0
        return data[:size], data[size:]

    def _move(self) -> None:
        self._from_client += self.client.peer.data_to_send()
        self._from_pod += self.pod_server.peer.data_to_send()
        piece, self._from_client = self._piece(self._from_client)
        self.router.from_client(piece)
        piece, self._from_pod = self._piece(self._from_pod)
        self.router.from_pod(piece)
        self.pod_server.receive(take(self.router.to_pod))
        if self.router.ready:
            self.client.receive(take(self.router.to_client))

    def _move_link(self, link: Link) -> None:
        if not link.accepted or link not in self.links:
            return
        link.server.receive(take(link.origin.out))
        link.coming += link.server.peer.data_to_send()
        piece, link.coming = self._piece(link.coming)
        link.origin.receive(piece)

    def _disturb(self, link: Link) -> None:
        rnd, trouble = self.rnd, self.trouble
        if not link.accepted and rnd.random() < 0.2:
            if link.server.name == "developer" and rnd.random() < trouble.refuse:
                self._lose(link, 0)
            else:
                link.accepted = True
        elif link.accepted and link.server.name == "developer":
            if rnd.random() < trouble.kill:
                self._lose(link, None)
            elif not link.left and rnd.random() < trouble.leave:
                link.left = True
                link.server.leave()

    def _lose(self, link: Link, delivered: int | None) -> None:
        self.links.remove(link)
        self.servers.remove(link.server)
        link.origin.going_away = True
        self.router.stolen.origin_lost(link.origin, delivered, "the local process ended")


def take(out: list[bytes]) -> bytes:
    """Take what is to be written."""
    data = b"".join(out)
    out.clear()
    return data
