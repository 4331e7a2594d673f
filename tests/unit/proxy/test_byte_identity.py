"""Random conversations, cut anywhere, are the same bytes with the splice as without."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

from kdev.tunnel.half_close import half_close
from kdev.tunnel.messages import Mode
from kdev.tunnel.records import Record, RecordReader
from tests.unit.proxy.doubles import Session, matcher
from tests.unit.proxy.stage import Talk, receive, silent, staged, until


@dataclass(frozen=True)
class Exchange:
    """A request and its answer; ``wanted`` when a filter on /api/ matches it."""

    request: bytes
    response: bytes
    wanted: bool


def _exchange(wanted: bool, form: int, answer: int, size: int) -> Exchange:
    path = b"/api/x?y=%41" if wanted else b"/oTHer//../api/"
    body = bytes(range(256)) * (size // 256) + b"\r\n\r\n" * (size % 3)
    length = b"%d" % len(body)
    requests = [
        b"GET " + path + b" HTTP/1.1\r\nhOST:a\r\nX:  spaced\t\r\n\r\n",
        b"POST " + path + b" HTTP/1.1\r\nHost: a\r\nCONTENT-LENGTH: " + length + b"\r\n\r\n" + body,
        b"PUT " + path + b" HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: CHUNKED\r\n\r\n"
        b"%x\r\n" % max(len(body), 1) + (body or b"z") + b"\r\n3;a=b\r\nabc\r\n000\r\nX-Sum: 1\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\nX-Path: " + path + b"\r\n\r\n",
    ]
    responses = [
        b"HTTP/1.1 200 Very  fine\r\ncontent-LENGTH: " + length + b"\r\n\r\n" + body,
        b"HTTP/1.1 404\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
        (
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"
            b"HTTP/1.1 204 No Content\r\nDate: now\r\n\r\n"
        ),
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n",
    ]
    return Exchange(requests[form], responses[answer], wanted and form != 3)


EXCHANGES = st.lists(
    st.builds(_exchange, st.booleans(), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3000)),
    min_size=1,
    max_size=6,
)
ODD_ENDS = st.sampled_from(
    [
        b"",
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"\x00\x01binary",
        b"POST /api/ HTTP/1.1\r\nContent-Length: 1\r\n\r\nX",
        b"GET /api/ HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n",
    ]
)
# The last part is large, so that bodies take tens of parts, not thousands.
CUTS = st.lists(st.integers(1, 4000), max_size=20).map(lambda sizes: [*sizes, 4000])


def _cut(data: bytes, sizes: list[int]) -> list[bytes]:
    parts, position, turn = [], 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        parts.append(data[position : position + size])
        position, turn = position + size, turn + 1
    return parts


def _scripted(exchanges: list[Exchange], sizes: list[int]) -> Talk:
    """A server that knows the conversation: it answers when a request's last byte has come, in pieces."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        come = 0
        for exchange in exchanges:
            come -= len(exchange.request)
            while come < 0:
                data = await reader.read(65536)
                if not data:
                    return
                come += len(data)
            for part in _cut(exchange.response, sizes):
                writer.write(part)
                await asyncio.sleep(0)
        while await reader.read(65536):
            pass

    return talk


async def _converse(
    mode: Mode | None, exchanges: list[Exchange], odd: bytes, sizes: list[int], together: bool
) -> tuple[bytes, bytes, bytes, bytes]:
    """What the pod got, what the client got, what the process got, and what it should have got."""
    session = None if mode is None else Session(mode, matcher("path=/api/*"), 0)
    steals = mode is Mode.STEAL
    pods = [exchange for exchange in exchanges if not (steals and exchange.wanted)]
    theirs = [exchange for exchange in exchanges if exchange.wanted]
    process = _scripted(theirs, sizes) if steals else silent
    async with staged(session, app=_scripted(pods, sizes), process=process) as stage:
        reader, writer = await stage.connect()
        came = b""
        asked = [b"".join(exchange.request for exchange in exchanges)] if together else [e.request for e in exchanges]
        answers = [b"".join(e.response for e in exchanges)] if together else [e.response for e in exchanges]
        for request, response in zip(asked, answers, strict=True):
            for part in _cut(request, sizes):
                writer.write(part)
                await asyncio.sleep(0)
            came += await receive(reader, len(response))
        writer.write(odd)
        await writer.drain()
        half_close(writer.transport)  # type: ignore[arg-type]  # a stream's transport
        expected = sum(len(exchange.request) for exchange in pods) + len(odd)
        await until(lambda: len(stage.app.everything) >= expected)
        if session is not None and theirs:
            await until(lambda: _enough(stage.process.everything, theirs, steals))
        writer.close()
        return stage.app.everything, came, stage.process.everything, b"".join(e.request for e in theirs)


def _enough(got: bytes, theirs: list[Exchange], steals: bool) -> bool:
    return len(got if steals else _messages(got)) >= sum(len(exchange.request) for exchange in theirs)


def _messages(records: bytes) -> bytes:
    return b"".join(record.data for record in RecordReader().feed(records) if isinstance(record, Record))


@pytest.mark.parametrize("loop", [uvloop.new_event_loop, asyncio.SelectorEventLoop])
@pytest.mark.parametrize("mode", [None, Mode.MIRROR, Mode.STEAL])
def test_the_splice_changes_no_byte(mode: Mode | None, loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    """Pod and client see the same bytes as without it; the process gets the matched requests, all and no other."""

    @settings(max_examples=12, deadline=None)
    @given(exchanges=EXCHANGES, odd=ODD_ENDS, sizes=CUTS, together=st.booleans())
    def holds(exchanges: list[Exchange], odd: bytes, sizes: list[int], together: bool) -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            pod, client, process, wanted = runner.run(_converse(mode, exchanges, odd, sizes, together))
        pods = [e for e in exchanges if not (mode is Mode.STEAL and e.wanted)]
        assert pod == b"".join(e.request for e in pods) + odd
        assert client == b"".join(e.response for e in exchanges)
        if mode is Mode.STEAL:
            assert process == wanted
        elif mode is Mode.MIRROR:
            assert _messages(process) == wanted
        else:
            assert process == b""

    holds()
