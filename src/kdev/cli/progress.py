"""How a session's news look on stderr: lines for people, JSON lines for programs, a spinner on a terminal."""

import asyncio
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, TextIO

import msgspec

from kdev.cli.live_lines import LiveLines, Traffic
from kdev.errors import Failure
from kdev.session import news

if TYPE_CHECKING:
    from rich.status import Status

SPIN_AFTER = 1.0
"""Seconds; below that a spinner only flickers."""


def choose(progress: str) -> news.Tell:
    """The observer for ``--progress``."""
    if progress == "json":
        return _json
    if progress == "quiet":
        return _quiet
    if progress == "auto" and sys.stderr.isatty():
        return Terminal()
    return Plain()


def tell_failure(failure: Failure) -> None:
    """Tell a failure as the last of the JSON lines."""
    fields = {"type": "failure", **asdict(failure.explanation), "exit_code": int(failure.exit_code)}
    _write(sys.stderr, msgspec.json.encode(fields).decode())


def _json(item: news.News) -> None:
    _write(sys.stderr, msgspec.json.encode(item).decode())


def _quiet(item: news.News) -> None:
    if isinstance(item, news.Warned):
        _write(sys.stderr, line(item))


def _write(stream: TextIO, text: str | None) -> None:
    if text is not None:
        stream.write(text + "\n")
        stream.flush()


class Plain:
    """Lines as they come; what agents and the local process tell of one request becomes one line."""

    def __init__(self) -> None:
        self._requests = LiveLines(lambda text: _write(sys.stderr, text))

    def __call__(self, item: news.News) -> None:
        """Tell one piece."""
        if isinstance(item, Traffic):
            self._requests.hear(item)
            return
        if isinstance(item, news.Summary):
            self._requests.flush()
        _write(sys.stderr, line(item))


class Terminal(Plain):
    """The same, and a spinner below them while something takes longer than ``SPIN_AFTER``."""

    def __init__(self) -> None:
        super().__init__()
        self._running: dict[str, asyncio.TimerHandle] = {}
        self._status: Status | None = None

    @property
    def spinning(self) -> bool:
        """Whether the spinner is on the screen."""
        return self._status is not None

    def __call__(self, item: news.News) -> None:
        """Tell one piece."""
        match item:
            case news.StepBegan(step=step):
                loop = asyncio.get_running_loop()
                self._running[step] = loop.call_later(SPIN_AFTER, self._spin, step)
            case news.StepEnded(step=step) | news.StepFailed(step=step):
                self._finish(step)
        super().__call__(item)

    def _spin(self, step: str) -> None:
        from rich.console import Console  # noqa: PLC0415 - 90 ms that only who waits anyway should pay
        from rich.markup import escape  # noqa: PLC0415 - as above

        if self._status is None:
            self._status = Console(stderr=True).status(escape(step))
            self._status.start()
        else:
            self._status.update(escape(step))

    def _finish(self, step: str) -> None:
        timer = self._running.pop(step, None)
        if timer is not None:
            timer.cancel()
        if self._status is not None:
            self._status.stop()
            self._status = None


def line(item: news.News) -> str | None:
    """One piece of news as a line; None for what needs none."""
    describe = _LINES.get(type(item))
    return None if describe is None else describe(item)


def _step_ended(item: news.StepEnded) -> str | None:
    if item.part:
        return None
    return f"✓ {item.step} ({item.seconds:.2f} s)" + (f": {item.detail}" if item.detail else "")


def _ready(item: news.Ready) -> str:
    ports = ", ".join(item.ports)
    when = "again" if item.again else f"after {item.seconds:.2f} s"
    text = f"Ready {when}: {item.mode} of {item.target}, port {ports}, pods {', '.join(item.pods)}"
    return text + (f"; {_direct(item.direct)}" if item.direct else "")


def _direct(connections: int) -> str:
    return f"{connections} connection{'' if connections == 1 else 's'} still direct"


def _waiting(item: news.Waiting) -> str:
    ports = ", ".join(map(str, item.ports))
    return f"… waiting for a process that listens on local port {ports}; until then its requests stay on the pod"


def _step_failed(item: news.StepFailed) -> str | None:
    return None if item.part else f"✗ {item.step} ({item.seconds:.2f} s)"


def _summary(item: news.Summary) -> str | None:
    counts = item.counts
    if not item.reason and not counts.matched:
        return None  # the failure that follows says it all
    told = (
        f"{counts.matched} matched, {counts.mirrored} mirrored, {counts.stolen} stolen, {counts.dropped} dropped, "
        f"{counts.fell_back} fell back, {counts.failed} failed; {_direct(counts.direct)}"
    )
    reason = f" ({item.reason})" if item.reason else ""
    return f"Ended after {item.seconds:.1f} s{reason}: {told}"


_LINES: dict[type[news.News], Callable[..., str | None]] = {
    news.StepEnded: _step_ended,
    news.StepFailed: _step_failed,
    news.Note: lambda item: f"- {item.text}",
    news.Warned: lambda item: f"! {item.text}",
    news.Waiting: _waiting,
    news.Ready: _ready,
    news.StillDirect: lambda item: f"- {_direct(item.connections)}",
    news.Summary: _summary,
}
