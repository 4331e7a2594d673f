"""Handing connections back: by the next answer's head, never by a FIN."""

import asyncio

import pytest

from kdev.proxy.draining import closing_head
from kdev.tunnel.messages import Mode
from tests.unit.proxy.doubles import Session, matcher
from tests.unit.proxy.stage import APP, PROCESS, answering, receive, response, silent, staged, until

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSING = APP.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"),
        (
            b"HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nKeep-Alive: timeout=5\r\nA: b\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nA: b\r\nconnection: close\r\n\r\n",
        ),
        (
            b"HTTP/1.1 200 OK\r\nconnection: x-hop\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nconnection: x-hop\r\nconnection: close\r\n\r\n",
        ),
    ],
)
def test_a_head_says_close_and_nothing_to_the_contrary(head: bytes, expected: bytes) -> None:
    """Fields that promise to keep the connection are taken out; all others stay."""
    assert closing_head(head) == expected


async def test_the_next_answer_asks_to_close_and_idle_connections_are_left_alone() -> None:
    """An idle connection stays; behind the answer that asks to close comes this end's own end."""
    async with staged() as stage:
        reader, writer = await stage.connect()
        writer.write(GET)
        assert await receive(reader, len(APP)) == APP
        stage.splice.drain()
        assert len(stage.splice.connections) == 1
        writer.write(GET)
        assert await asyncio.wait_for(reader.read(), 5) == CLOSING
        writer.close()
        await asyncio.wait_for(stage.splice.connections.none_left(), 5)


async def test_a_request_that_comes_while_the_closing_answer_is_on_its_way_is_answered() -> None:
    """This end closes only when nothing is owed; the later answer asks again."""

    async def in_parts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(APP[:-1])
        await reader.read(65536)
        writer.write(APP[-1:])
        writer.write(APP)
        await reader.read()

    async with staged(app=in_parts) as stage:
        stage.splice.drain()
        reader, writer = await stage.connect()
        writer.write(GET)
        assert await receive(reader, len(CLOSING) - 1) == CLOSING[:-1]
        writer.write(GET)
        assert await asyncio.wait_for(reader.read(), 5) == CLOSING[-1:] + CLOSING
        writer.close()


async def test_an_upload_outlasts_its_answer() -> None:
    """A request whose answer came early is forwarded to its end before this end closes."""

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(APP)
        while await reader.read(65536):
            pass

    async with staged(app=early) as stage:
        stage.splice.drain()
        reader, writer = await stage.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n12")
        assert await receive(reader, len(CLOSING)) == CLOSING
        writer.write(b"34")
        assert await asyncio.wait_for(reader.read(), 5) == b""
        await until(lambda: stage.app.everything.endswith(b"34"))
        writer.close()


async def test_a_stolen_request_is_answered_and_its_stream_given_up() -> None:
    """The answer of the process asks to close, and nothing leads to the process any more."""
    answer_now = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        await answer_now.wait()
        writer.write(PROCESS)
        await reader.read(65536)

    session = Session(Mode.STEAL, matcher(), 0)
    async with staged(session, process=waits) as stage:
        reader, writer = await stage.connect()
        writer.write(GET)
        await until(lambda: stage.process.everything == GET)
        stage.splice.drain()
        assert len(session.streams) == 1
        answer_now.set()
        closing = PROCESS.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
        assert await asyncio.wait_for(reader.read(), 5) == closing
        await until(lambda: not session.streams)
        writer.close()


@pytest.mark.parametrize("mode", [Mode.STEAL, Mode.MIRROR])
async def test_idle_streams_are_given_up_at_once_and_later_requests_are_the_pods(mode: Mode) -> None:
    """A stream on which nothing is in flight does not wait for its client."""
    session = Session(mode, matcher(), 0)
    async with staged(session) as stage:
        reader, writer = await stage.connect()
        writer.write(GET)
        await receive(reader, len(PROCESS if mode is Mode.STEAL else APP))
        await until(lambda: stage.process.everything)
        stage.splice.drain()
        await until(lambda: not session.streams)
        writer.write(GET)
        assert await asyncio.wait_for(reader.read(), 5) == CLOSING
        assert len(session.reports) == 1
        writer.close()


async def test_a_copy_that_is_not_complete_is_copied_to_its_end() -> None:
    """Then its stream is given up."""
    session = Session(Mode.MIRROR, matcher(), 0)
    async with staged(session, app=silent) as stage:
        _, writer = await stage.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n12")
        await until(lambda: b"12" in stage.process.everything)
        stage.splice.drain()
        assert len(session.streams) == 1
        writer.write(b"34")
        await until(lambda: not session.streams)
        assert stage.process.everything.endswith(b"34")
        writer.close()


async def test_connections_between_requests_can_be_closed_and_no_others() -> None:
    """A request in flight, and a conversation that nobody can read, are left alone."""

    async def first_only(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(APP)
        await reader.read()

    async with staged(app=first_only) as stage:
        clients = [await stage.connect() for _ in range(3)]
        for (reader, writer), sent in zip(clients, (GET, GET, b"\x00\r\n\r\n"), strict=True):
            writer.write(sent)
            await receive(reader, len(APP))
        clients[1][1].write(GET)
        await until(lambda: any(record == GET * 2 for record in stage.app.received))
        stage.splice.connections.close_idle(3600)
        assert len(stage.splice.connections) == 3
        stage.splice.connections.close_idle(0)
        assert await asyncio.wait_for(clients[0][0].read(), 5) == b""
        await until(lambda: len(stage.splice.connections) == 2)
        for _, writer in clients:
            writer.close()


async def test_pipelined_requests_are_all_answered_before_the_word_is_said() -> None:
    """Only an answer after which nothing is owed asks to close."""
    answer_now = asyncio.Event()

    async def waits(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        await answer_now.wait()
        writer.write(APP * 3)
        await reader.read(65536)

    async with staged(app=waits) as stage:
        reader, writer = await stage.connect()
        writer.write(GET * 3)
        await until(lambda: stage.app.everything == GET * 3)
        stage.splice.drain()
        answer_now.set()
        assert await receive(reader, 2 * len(APP) + len(CLOSING)) == APP + APP + CLOSING
        writer.close()


async def test_a_download_and_its_half_read_head_run_on() -> None:
    """What has been forwarded of an answer when the draining begins is neither repeated nor changed."""
    go_on = asyncio.Event()

    async def slowly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            for part in (APP[:9], APP[9:-3], APP[-3:]):
                writer.write(part)
                await go_on.wait()
                go_on.clear()

    async with staged(app=slowly) as stage:
        reader, writer = await stage.connect()
        writer.write(GET)
        assert await receive(reader, 9) == APP[:9]
        stage.splice.drain()
        came = APP[:9]
        go_on.set()
        came += await receive(reader, len(APP) - 12)
        go_on.set()
        came += await receive(reader, 3)
        assert came == APP
        go_on.set()
        writer.write(GET)
        for _ in range(3):
            await asyncio.sleep(0.05)
            go_on.set()
        assert await receive(reader, len(CLOSING)) == CLOSING
        writer.close()


async def test_connections_that_begin_later_are_asked_too() -> None:
    """A client that comes while the others leave is handed back like them."""
    async with staged() as stage:
        stage.splice.drain()
        assert await stage.ask(GET) == CLOSING


async def test_raw_connections_run_on() -> None:
    """In an unread protocol there is no word for it."""
    async with staged(app=answering(b"pong")) as stage:
        reader, writer = await stage.connect()
        writer.write(b"\x00\r\n\r\n")
        assert await receive(reader, 4) == b"pong"
        stage.splice.drain()
        writer.write(b"\x00\r\n\r\n")
        assert await receive(reader, 4) == b"pong"
        writer.close()


async def test_an_answer_that_closes_anyway_is_not_changed() -> None:
    """Neither is one that ends with the connection."""
    closing = response(b"bye", b"Connection: close")
    async with staged(app=answering(closing)) as stage:
        stage.splice.drain()
        assert await stage.ask(GET) == closing


async def test_what_does_not_end_in_time_can_be_ended() -> None:
    """The bound is the agent's."""
    async with staged() as stage:
        reader, writer = await stage.connect()
        writer.write(GET)
        await receive(reader, len(APP))
        stage.splice.connections.abort()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        await asyncio.wait_for(stage.splice.connections.none_left(), 5)
        writer.close()
