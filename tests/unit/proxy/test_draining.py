"""Handing connections back: by the next answer's head, never by a FIN."""

import asyncio

import pytest

from kdev.proxy.draining import closing_head
from tests.unit.proxy.stage import APP, answering, receive, response, staged, until

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
    """No connection is ended from here, and each is served until its client ends it."""
    async with staged() as stage:
        reader, writer = await stage.connect()
        writer.write(GET)
        assert await receive(reader, len(APP)) == APP
        stage.splice.drain()
        assert len(stage.splice.connections) == 1
        for _ in range(2):
            writer.write(GET)
            assert await receive(reader, len(CLOSING)) == CLOSING
        writer.close()
        await asyncio.wait_for(stage.splice.connections.none_left(), 5)


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
