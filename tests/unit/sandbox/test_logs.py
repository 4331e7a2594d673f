"""A container's log in memory."""

import asyncio

from kdev.sandbox.logs import KEPT_BYTES, Log
from kdev.sandbox.output import LINE_LIMIT, LogPipe


async def _read(log: Log, *, follow: bool = False, tail_lines: int | None = None, timestamps: bool = False) -> bytes:
    pieces = log.read(follow=follow, tail_lines=tail_lines, timestamps=timestamps)
    return b"".join([piece async for piece in pieces])


async def test_output_is_cut_into_lines() -> None:
    """Lines are whole however the pipe delivers them, and a last one without end is kept."""
    log = Log()
    pipe = LogPipe(log)
    for piece in (b"on", b"e\ntwo\r", b"\nthr", b"ee"):
        pipe.data_received(piece)
    pipe.connection_lost(None)
    assert await _read(log) == b"one\ntwo\r\nthree"
    assert await _read(log, tail_lines=2) == b"two\r\nthree"
    assert await _read(log, tail_lines=0) == b""


async def test_a_line_without_end_is_cut() -> None:
    """A program that never ends its line cannot fill the memory."""
    log = Log()
    LogPipe(log).data_received(b"x" * (2 * LINE_LIMIT + 1))
    assert [len(piece) async for piece in log.read(follow=False, tail_lines=None, timestamps=False)] == [LINE_LIMIT] * 2


async def test_the_oldest_lines_make_room() -> None:
    """The log never holds more than its bound, and the newest lines stay."""
    log = Log()
    for number in range(3 * KEPT_BYTES // 1000):
        log.append(b"%0999d\n" % number)
    kept = await _read(log)
    assert len(kept) <= KEPT_BYTES
    assert int(kept.splitlines()[-1]) == 3 * KEPT_BYTES // 1000 - 1


async def test_a_follower_sees_later_lines_until_the_end() -> None:
    """Following gives what was there, what comes, and ends with the container."""
    log = Log()
    log.append(b"before\n")
    async with asyncio.TaskGroup() as group:
        following = group.create_task(_read(log, follow=True))
        await asyncio.sleep(0)
        log.append(b"after\n")
        await asyncio.sleep(0)
        log.close()
    assert following.result() == b"before\nafter\n"


async def test_timestamps_are_kubernetes() -> None:
    """A stamped line begins with a time in RFC 3339 form."""
    log = Log()
    log.append(b"x\n")
    stamp, line = (await _read(log, timestamps=True)).split(b" ", 1)
    assert stamp[10:11] == b"T"
    assert stamp.endswith(b"Z")
    assert line == b"x\n"
