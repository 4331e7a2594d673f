"""What a session tells whoever watches it: a terminal, a file of JSON lines, a test. The session never prints."""

import time
from collections.abc import Callable
from typing import Self

import msgspec

from kdev.tunnel.messages import Counts


def _kebab(name: str) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("-")


class News(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=_kebab):
    """One piece of news; as JSON, ``type`` says which."""


class StepBegan(News, frozen=True, kw_only=True):
    """Something that may take a while has begun."""

    step: str


class StepEnded(News, frozen=True, kw_only=True):
    """It has ended well, after ``seconds``; ``detail`` says with what, ``part`` that it is a part of another step."""

    step: str
    seconds: float
    detail: str = ""
    part: bool = False


class StepFailed(News, frozen=True, kw_only=True):
    """It has ended after ``seconds`` without success."""

    step: str
    seconds: float
    part: bool = False


class Note(News, frozen=True, kw_only=True):
    """Something worth a line that needs no action."""

    text: str


class Warned(News, frozen=True, kw_only=True):
    """Something the user should know before relying on the session."""

    text: str


class Waiting(News, frozen=True, kw_only=True):
    """Nobody listens on these local ports; their requests stay on the pod."""

    ports: tuple[int, ...]


class Ready(News, frozen=True, kw_only=True):
    """Requests arrive from now on, ``seconds`` after the session's begin; ``again`` after something had changed."""

    target: str
    pods: tuple[str, ...]
    ports: tuple[str, ...]
    mode: str
    direct: int
    seconds: float
    again: bool


class RequestSeen(News, frozen=True, kw_only=True):
    """One matched request, and what became of it."""

    pod: str
    port: int
    method: str
    path: str
    action: str
    detail: str = ""


class RequestAnswered(News, frozen=True, kw_only=True):
    """What the local process answered to one mirrored request; None when it gave no answer."""

    port: int
    method: str
    target: str
    status: int | None


class StillDirect(News, frozen=True, kw_only=True):
    """How many connections of all pods' sidecars still bypass the tap."""

    connections: int


class Summary(News, frozen=True, kw_only=True):
    """The session has ended; ``reason`` is empty when a failure that is told elsewhere has ended it."""

    reason: str
    seconds: float
    counts: Counts


Tell = Callable[[News], None]
"""The observer; called on the session's loop, must not block for long."""


class StepTimer:
    """Tells of one step: its begin, and how it ended. Use as a context manager.

    ``end`` may be called inside, with a detail, also when the block goes on after the step has ended for the user.
    ``part`` marks what belongs to a longer step.
    """

    def __init__(self, tell: Tell, step: str, *, part: bool = False) -> None:
        self._tell = tell
        self._step = step
        self._part = part
        self._began = time.monotonic()
        self._over = False

    def __enter__(self) -> Self:
        self._tell(StepBegan(step=self._step))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if kind is None:
            self.end()
        else:
            self.fail()

    def end(self, detail: str = "") -> None:
        """It has ended well; further calls say nothing."""
        if not self._over:
            self._over = True
            self._tell(StepEnded(step=self._step, seconds=self._seconds(), detail=detail, part=self._part))

    def fail(self) -> None:
        """It has not; why is told elsewhere. After ``end`` this says nothing."""
        if not self._over:
            self._over = True
            self._tell(StepFailed(step=self._step, seconds=self._seconds(), part=self._part))

    def _seconds(self) -> float:
        return time.monotonic() - self._began
