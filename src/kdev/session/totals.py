"""Adding up what the agents of a session count.

An agent counts from its own begin. When a pod gets another agent, what the last one told stays in the sum.
"""

import msgspec

from kdev.tunnel.messages import Counts


class Totals:
    """The latest counts of each pod.

    Attributes:
        direct: Connections of each pod's sidecar that bypass the tap.
    """

    def __init__(self) -> None:
        self.direct: dict[str, int] = {}
        self._latest: dict[str, Counts] = {}
        self._before = Counts()

    def update(self, pod: str, counts: Counts) -> None:
        """Take an agent's latest counts; fewer than before come from a new agent."""
        last = self._latest.get(pod)
        if last is not None and counts.matched < last.matched:
            self._before = _sum(self._before, last)
        self._latest[pod] = counts
        self.direct[pod] = counts.direct

    @property
    def counts(self) -> Counts:
        """The sum over all agents; ``direct`` as it is now."""
        total = self._before
        for counts in self._latest.values():
            total = _sum(total, counts)
        return msgspec.structs.replace(total, direct=sum(self.direct.values()))


def _sum(first: Counts, second: Counts) -> Counts:
    pairs = ((name, getattr(first, name) + getattr(second, name)) for name in Counts.__struct_fields__)
    return Counts(**dict(pairs))
