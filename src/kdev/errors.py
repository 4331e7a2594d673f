"""The shape of every failure that a user is told about.

A room raises the class for its boundary; only ``cli`` renders it. Each failure says in one sentence what
went wrong, what was seen, and what to do next, under a reference that stays the same between versions, so
that it can be searched for and documented. Faults of our own code are plain exceptions and assertions.
"""

from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every command; documented, therefore never renumbered."""

    OK = 0
    CHILD = 1
    USAGE = 2
    CLUSTER = 3
    TARGET = 4
    AGENT = 5
    LOCAL = 6


@dataclass(frozen=True)
class Explanation:
    """What a failure tells: plain text without markup.

    Attributes:
        reference: Stable kebab-case name, for example ``target-not-found``.
        cause: One sentence without a full stop.
        seen: What was observed, quoted where it is somebody else's words; may be empty.
        advice: What to do next, with the command to run where there is one.
    """

    reference: str
    cause: str
    seen: str
    advice: str


class Failure(Exception):  # noqa: N818 - a user meets failures; errors are for programmers
    """A failure with an explanation; raise one of the classes below, which carry the exit code."""

    exit_code: ExitCode

    def __init__(self, reference: str, cause: str, *, seen: str = "", advice: str) -> None:
        super().__init__(f"{cause} [{reference}]" + (f": {seen}" if seen else ""))
        self.explanation = Explanation(reference, cause, seen, advice)


class UsageFailure(Failure):
    """What the user typed cannot be meant: a flag, a filter, a port, a target's spelling."""

    exit_code = ExitCode.USAGE


class ClusterFailure(Failure):
    """The cluster refused or could not be reached: credentials, rights, admission, API server."""

    exit_code = ExitCode.CLUSTER


class TargetFailure(Failure):
    """The target is missing, has no ready pod, or cannot be shadowed."""

    exit_code = ExitCode.TARGET


class AgentFailure(Failure):
    """The agent or its proxy could not start, answered wrongly, or ended."""

    exit_code = ExitCode.AGENT


class LocalFailure(Failure):
    """This machine lacks something: a port, a program, a right."""

    exit_code = ExitCode.LOCAL
