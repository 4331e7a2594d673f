"""When an ended container is started again (Kubernetes: pod lifecycle, restart policy)."""

from dataclasses import dataclass

FIRST_DELAY = 10.0
LONGEST_DELAY = 300.0
FORGET_AFTER = 600.0
"""Seconds: the kubelet doubles from 10 s to 5 min and forgets after 10 min of running."""


def restarts(policy: str, exit_code: int) -> bool:
    """Whether a container with this policy is started again after ending so."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


@dataclass(frozen=True, slots=True)
class BackOff:
    """How long to wait before the next start; the first restart is immediate."""

    delay: float = 0.0

    def after(self, ran_for: float) -> "BackOff":
        """The back-off after one more run, of that many seconds."""
        if ran_for >= FORGET_AFTER:
            return BackOff()
        return BackOff(min(LONGEST_DELAY, self.delay * 2 if self.delay else FIRST_DELAY))
