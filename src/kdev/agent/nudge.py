"""Moves the connections that bypass the tap: asks their client to leave, and never destroys one.

Connections that the sidecar holds from before the tap go past it, and whoever closes them from outside fails the
requests in flight. Only a close that the sidecar itself makes after a response is safe; the nudge has it made by
a word in the application's own response. While a connection is being asked, its packets pass an nfqueue. It needs
no more than NET_ADMIN. Where the kernel has no nfqueue, the connections stay and are counted.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Iterable

from kdev.agent.connections import direct_connections, living_connections, look, own_sockets
from kdev.agent.nudge_flows import Flows
from kdev.agent.nudge_rules import QUEUE_NUMBER, TRANSLATED_MARK, NudgeRules
from kdev.mesh_adapters.interface import Hop
from kdev.netlink.nf_tables import NfTables
from kdev.netlink.nfqueue import Queue, QueuedPacket
from kdev.netlink.sock_diag import SockDiag

_LOOKS_WHILE_YOUNG = 40
_YOUNG_INTERVAL = 0.05
"""Seconds: in the first two seconds the busy connections move, and a closed one's ports should be let go soon."""
_INTERVAL = 0.5
"""Seconds afterwards: what is left is idle, and may stay so for hours."""

_PACKETS_AT_ONCE = 64
"""Packets judged before other tasks get their turn; each takes some 50 us."""

TRANSLATE_AT_MOST = 15.0
"""Seconds that ``run`` goes on after ``stop`` for connections with inserted bytes, which are reset afterwards."""


class Nudge:
    """Asks the clients of bypassing connections to leave.

    Args:
        hops: What the sidecar's connections look like.
        ports: The application's ports that are tapped.
        on_count: Told how many connections are direct, at first and at each change.
        insert: Whether bytes may be inserted into connections of the sidecar, as HTTP/2 needs it. Bytes are never
            inserted where packets come from outside the pod or carry a mark that routes them.
    """

    def __init__(
        self, hops: Iterable[Hop], ports: Iterable[int], on_count: Callable[[int], None], *, insert: bool = True
    ) -> None:
        self._hops = tuple(hops)
        self._ports = frozenset(ports)
        self._on_count = on_count
        self._insert = insert and all(hop.local and hop.mark is None for hop in self._hops)
        self._flows = Flows(insert=self._insert)
        self._direct = 0
        self._stopped = asyncio.Event()
        self._netlink: NfTables | None = None
        self._rules: NudgeRules | None = None
        self._queue: Queue | None = None
        self.hindrance: str | None = None

    async def run(self) -> None:
        """Work until no connection is direct any more, or until ``stop``.

        What hinders the nudge harms nobody: it is kept in ``hindrance``, and the connections are only counted.
        """
        try:
            with SockDiag() as diagnostics:
                if self._look(diagnostics):
                    await self._ask_all(diagnostics)
        except OSError as error:
            self.hindrance = str(error)
        finally:
            self.drop()

    def stop(self) -> None:
        """Ask nobody any more; ``run`` returns as soon as no packet needs translation."""
        self._stopped.set()

    def drop(self) -> None:
        """Let all packets pass at once; may be called from any thread. Connections with inserted bytes are reset."""
        for holder in (self._queue, self._netlink):
            if holder is not None:
                holder.close()

    async def _ask_all(self, diagnostics: SockDiag) -> None:
        try:
            self._install()
        except OSError as error:
            self._give_up(error)
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(self._serve())
            try:
                await self._follow(diagnostics)
            except OSError as error:
                self._give_up(error)
            serving.cancel()
        if self._rules is not None and not self._flows.shifted:
            self._rules.remove_guard()

    def _install(self) -> None:
        self._queue = Queue(QUEUE_NUMBER, fail_open=True)
        self._netlink = NfTables()
        rules = NudgeRules(self._netlink, _versions(self._hops), insert=self._insert)
        rules.install()
        self._rules = rules

    def _give_up(self, error: OSError) -> None:
        """Let everything pass, and from now on only count."""
        self.hindrance = str(error)
        self._rules = None
        self._flows.forget(self._flows.watched)
        self.drop()

    # ---- which connections

    async def _follow(self, diagnostics: SockDiag) -> None:
        """Look again and again, until nothing is left to do."""
        give_up_at: float | None = None
        looks = 0
        while True:
            direct = self._look(diagnostics)
            if self._stopped.is_set():
                self._flows.forget(self._flows.watched - self._flows.shifted)
                give_up_at = give_up_at or time.monotonic() + TRANSLATE_AT_MOST
            self._tell_kernel()
            if not self._flows.shifted and (self._stopped.is_set() or not direct):
                return
            if give_up_at is not None and time.monotonic() > give_up_at:
                return
            looks += 1
            await self._pause(_YOUNG_INTERVAL if looks < _LOOKS_WHILE_YOUNG or give_up_at else _INTERVAL)

    def _look(self, diagnostics: SockDiag) -> int:
        """Note which connections are direct, and forget the ended ones."""
        sockets = look(diagnostics, self._ports)
        direct = direct_connections(sockets, self._hops, self._ports, own_sockets())
        self._flows.watch(direct)
        self._flows.forget(self._flows.watched - living_connections(sockets, self._ports))
        if len(direct) != self._direct:
            self._direct = len(direct)
            self._on_count(self._direct)
        return self._direct

    async def _pause(self, seconds: float) -> None:
        if self._stopped.is_set():
            await asyncio.sleep(seconds)
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopped.wait()

    def _tell_kernel(self) -> None:
        if self._rules is None:
            return
        try:
            self._rules.follow(watched=self._flows.watched, shifted=self._flows.shifted)
        except OSError as error:
            self._give_up(error)

    # ---- their packets

    async def _serve(self) -> None:
        """Judge packets as they come."""
        queue = self._queue
        if queue is None or self._rules is None:
            return
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        descriptor = queue.fileno()
        loop.add_reader(descriptor, readable.set)
        try:
            while self._rules is not None:
                await readable.wait()
                readable.clear()
                self._judge_waiting(queue, self._rules)
        except OSError as error:
            self._give_up(error)
        finally:
            loop.remove_reader(descriptor)

    def _judge_waiting(self, queue: Queue, rules: NudgeRules) -> None:
        for _ in range(_PACKETS_AT_ONCE):
            packets = queue.receive()
            if not packets:
                return
            for packet in packets:
                self._judge(queue, rules, packet)

    def _judge(self, queue: Queue, rules: NudgeRules, packet: QueuedPacket) -> None:
        verdict = self._flows.packet(packet.payload)
        if verdict.shifts is not None:
            # Before the packet goes: from here on the guard must know the connection.
            rules.follow(watched=self._flows.watched, shifted=self._flows.shifted)
        mark = TRANSLATED_MARK if verdict.translated else None
        queue.accept(packet.number, payload=verdict.packet, mark=mark)


def _versions(hops: Iterable[Hop]) -> frozenset[int]:
    """The IP versions that the hops' connections may have; a node need not have both."""
    named = (hop.source or hop.destination for hop in hops)
    return frozenset(
        itertools.chain.from_iterable((4, 6) if address is None else (address.version,) for address in named)
    )
