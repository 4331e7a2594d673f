"""How news look as lines."""

import io
import json
import sys

import pytest

from kdev.cli import progress
from kdev.session import news
from kdev.tunnel.messages import Counts

NEWS: list[tuple[news.News, str | None]] = [
    (news.StepBegan(step="Find x"), None),
    (news.StepEnded(step="Find x", seconds=0.051, detail="x-1"), "✓ Find x (0.05 s): x-1"),
    (news.StepFailed(step="Find x", seconds=2), "✗ Find x (2.00 s)"),
    (news.StepEnded(step="x-1: tap", seconds=0.1, part=True), None),
    (news.StepFailed(step="Reach x-1", seconds=2, part=True), None),
    (news.Warned(text="look out"), "! look out"),
    (
        news.Waiting(ports=(3000,)),
        "… waiting for a process that listens on local port 3000; until then its requests stay on the pod",
    ),
    (
        news.Ready(
            target="deploy/x", pods=("x-1",), ports=("8080:3000",), mode="mirror", direct=2, seconds=1, again=False
        ),
        "Ready after 1.00 s: mirror of deploy/x, port 8080:3000, pods x-1; 2 connections still direct",
    ),
    (
        news.Ready(target="x", pods=("x-1",), ports=("80",), mode="steal", direct=0, seconds=9, again=True),
        "Ready again: steal of x, port 80, pods x-1",
    ),
    (news.StillDirect(connections=1), "- 1 connection still direct"),
    (
        news.Summary(reason="enough", seconds=3.21, counts=Counts(matched=3, mirrored=2, dropped=1)),
        (
            "Ended after 3.2 s (enough): 3 matched, 2 mirrored, 0 stolen, 1 dropped, 0 fell back, 0 failed; "
            "0 connections still direct"
        ),
    ),
    (news.Summary(reason="", seconds=1, counts=Counts()), None),
    (
        news.Summary(reason="", seconds=1, counts=Counts(matched=1, stolen=1)),
        (
            "Ended after 1.0 s: 1 matched, 0 mirrored, 1 stolen, 0 dropped, 0 fell back, 0 failed; "
            "0 connections still direct"
        ),
    ),
]


@pytest.mark.parametrize(("item", "expected"), NEWS)
def test_lines(item: news.News, expected: str | None) -> None:
    """Each piece of news is one line; what came from the network cannot steer a terminal."""
    assert progress.line(item) == expected


def test_json_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """As JSON every piece of news is one object that says what it is."""
    monkeypatch.setattr(sys, "stderr", written := io.StringIO())
    for item, _ in NEWS:
        progress.choose("json")(item)
    types = [json.loads(text)["type"] for text in written.getvalue().splitlines()]
    assert types[:3] == ["step-began", "step-ended", "step-failed"]
    assert len(types) == len(NEWS)


def test_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quiet leaves only warnings."""
    monkeypatch.setattr(sys, "stderr", written := io.StringIO())
    for item, _ in NEWS:
        progress.choose("quiet")(item)
    assert written.getvalue() == "! look out\n"


async def test_the_spinner_goes_when_its_step_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a long step gets a spinner, which leaves with it."""
    monkeypatch.setattr(sys, "stderr", written := io.StringIO())
    monkeypatch.setattr(progress, "SPIN_AFTER", 0)
    terminal = progress.Terminal()
    terminal(news.StepBegan(step="Find x"))
    import asyncio

    async with asyncio.timeout(5):
        while not terminal.spinning:  # noqa: ASYNC110 - a turn of the loop is what it waits for
            await asyncio.sleep(0)
    terminal(news.StepEnded(step="Find x", seconds=2))
    assert not terminal.spinning
    assert written.getvalue().rstrip().endswith("✓ Find x (2.00 s)")
