"""One line for each request."""

import asyncio

import pytest

from kdev.cli import live_lines
from kdev.cli.live_lines import LiveLines
from kdev.session.news import RequestAnswered, RequestSeen


def seen(path: str, action: str = "mirrored", detail: str = "") -> RequestSeen:
    """What an agent tells."""
    return RequestSeen(pod="x-1", port=8080, method="GET", path=path, action=action, detail=detail)


def answered(target: str, status: int | None = 200) -> RequestAnswered:
    """What the local process did."""
    return RequestAnswered(port=8080, method="GET", target=target, status=status)


async def test_either_half_may_come_first() -> None:
    """The two halves of a mirrored request make one line, whichever comes first, in the order of the requests."""
    written: list[str] = []
    lines = LiveLines(written.append)
    lines.hear(answered("/a?q=1", 201))
    lines.hear(seen("/b"))
    lines.hear(answered("/a", 500))
    assert written == []
    lines.hear(seen("/a"))
    lines.hear(seen("/a"))
    lines.hear(answered("/b", None))
    assert written == [
        "  mirrored  201  GET /a  (x-1:8080)",
        "  mirrored  500  GET /a  (x-1:8080)",
        "  mirrored    -  GET /b  (x-1:8080)",
    ]


async def test_what_happens_in_the_pod_is_one_line_at_once() -> None:
    """Stolen, dropped and fallen back requests have no second half; what came from the network steers no terminal."""
    written: list[str] = []
    lines = LiveLines(written.append)
    lines.hear(seen("/a", "stolen"))
    lines.hear(seen("/api\x1b[2J", "fell-back", "refused"))
    assert written == [
        "  stolen         GET /a  (x-1:8080)",
        "  fell-back      GET /api\\x1b[2J  (x-1:8080): refused",
    ]


async def test_nothing_waits_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request without an answer yet is told without, and its answer by itself."""
    monkeypatch.setattr(live_lines, "WAIT", 0.01)
    told: asyncio.Queue[str] = asyncio.Queue()
    lines = LiveLines(told.put_nowait)
    async with asyncio.timeout(5):
        lines.hear(seen("/slow"))
        assert await told.get() == "  mirrored  ...  GET /slow  (x-1:8080)"
        lines.hear(answered("/slow"))
        assert await told.get() == "  answered  200  GET /slow"


async def test_the_agents_bound_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers to requests that the agent did not report, because they are too many, are not told either."""
    written: list[str] = []
    lines = LiveLines(written.append)
    lines.hear(answered("/1"))
    lines.flush()
    assert written == []


async def test_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is told when too many wait, and all of them in the end."""
    monkeypatch.setattr(live_lines, "MAX_WAITING", 2)
    written: list[str] = []
    lines = LiveLines(written.append)
    for path in ("/1", "/2", "/3"):
        lines.hear(seen(path))
    assert written == ["  mirrored  ...  GET /1  (x-1:8080)"]
    lines.flush()
    assert len(written) == 3
