"""Copies of requests: whole, in order, bounded, and never in the way of the original."""

import asyncio

from kdev.proxy.interface import Outcome
from kdev.proxy.mirroring import MAX_BUFFERED, MAX_WAITING
from kdev.tunnel.messages import Mode
from kdev.tunnel.records import Cut, Record, RecordReader
from kdev.tunnel.streams import StreamForm
from tests.unit.proxy.doubles import Session, matcher
from tests.unit.proxy.stage import APP, receive, silent, staged, until

GET = b"GET /api/a HTTP/1.1\r\nHost: a\r\n\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"


def mirroring(*filters: str) -> Session:
    """A session that mirrors what is below /api/, or what the filters say."""
    return Session(Mode.MIRROR, matcher(*(filters or ("path=/api/*",))), 0)


async def _deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept and read nothing, as a process at a breakpoint."""
    writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport
    await asyncio.Event().wait()


def _post(size: int) -> bytes:
    return b"POST /api/p HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size


async def test_matched_requests_are_copied_and_the_pod_answers_all() -> None:
    """The copies are records of one stream; the process's answers reach nobody."""
    async with staged(mirroring(), process=silent) as stage:
        reader, writer = await stage.connect()
        for request in (GET, OTHER, GET):
            writer.write(request)
            assert await receive(reader, len(APP)) == APP
        await until(lambda: len(stage.process.everything) == 2 * (4 + len(GET)))
        assert RecordReader().feed(stage.process.everything) == [Record(GET, True)] * 2
        assert stage.session.forms == [StreamForm.RECORDS]
        assert stage.outcomes == [Outcome.MIRRORED] * 2
        assert stage.app.everything == GET + OTHER + GET
        writer.close()


async def test_a_process_at_a_breakpoint_holds_nobody_up() -> None:
    """Copies beyond the bound are dropped whole, the stream stays in order, and the pod answers every request."""
    body = _post(200_000)
    async with staged(mirroring(), process=_deaf) as stage:
        reader, writer = await stage.connect()
        for _ in range(60):
            writer.write(body)
            assert await receive(reader, len(APP)) == APP
        assert stage.outcomes.count(Outcome.DROPPED) > 10
        (stream,) = stage.session.streams
        assert stream.get_write_buffer_size() <= MAX_BUFFERED
        assert len(stage.app.everything) == 60 * len(body)
        writer.close()


async def test_the_number_of_waiting_copies_is_bounded() -> None:
    """Small requests are not hoarded by the thousand."""
    session = mirroring()
    async with staged(session, process=_deaf) as stage:
        reader, writer = await stage.connect()
        writer.write(GET)
        assert await receive(reader, len(APP)) == APP
        session.streams[0].get_write_buffer_size = lambda: 1 << 16  # type: ignore[method-assign]  # nothing is taken
        for _ in range(MAX_WAITING + 5):
            writer.write(GET)
            assert await receive(reader, len(APP)) == APP
        assert Outcome.DROPPED in stage.outcomes
        assert stage.outcomes.count(Outcome.MIRRORED) <= MAX_WAITING + 1
        writer.close()


async def test_a_copy_that_no_longer_fits_is_cut() -> None:
    """The process must not take the beginning of a request for the whole."""
    session = mirroring()
    async with staged(session, process=silent) as stage:
        reader, writer = await stage.connect()
        request = _post(10)
        writer.write(request[:-5])
        await until(lambda: len(stage.process.everything) > 0)
        stream = session.streams[0]
        stream.get_write_buffer_size = lambda: MAX_BUFFERED  # type: ignore[method-assign]  # as if it were full
        writer.write(request[-5:])
        assert await receive(reader, len(APP)) == APP
        del stream.get_write_buffer_size
        writer.write(GET)
        assert await receive(reader, len(APP)) == APP
        await until(lambda: stage.process.everything.endswith(GET))
        assert RecordReader().feed(stage.process.everything) == [Record(request[:-5], False), Cut(), Record(GET, True)]
        assert stage.outcomes == [Outcome.DROPPED, Outcome.MIRRORED]
        writer.close()


async def test_a_request_that_its_client_gives_up_is_cut() -> None:
    """The copy of half a request is marked as such."""
    async with staged(mirroring(), process=silent) as stage:
        _, writer = await stage.connect()
        writer.write(_post(10)[:-5])
        await until(lambda: len(stage.process.everything) > 0)
        writer.transport.abort()
        await until(lambda: stage.outcomes == [Outcome.DROPPED])
        await until(lambda: stage.process.everything.endswith(b"\x00\x00\x00\x00"))


async def test_without_a_process_copies_are_dropped() -> None:
    """Neither a refused stream nor none at all is noticed by the client."""
    for port in (None, 1):
        session = mirroring()
        session.process = port
        async with staged(session) as stage:
            reader, writer = await stage.connect()
            for _ in range(2):
                writer.write(GET)
                assert await receive(reader, len(APP)) == APP
            writer.close()
            assert port or stage.outcomes == [Outcome.DROPPED] * 2


async def test_a_conversation_after_an_upgrade_is_copied_as_one_request() -> None:
    """What the client says after 101 belongs to the request that led there."""
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(switched)
        while data := await reader.read(65536):
            writer.write(data)

    upgrade = b"GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with staged(mirroring(), app=echo, process=silent) as stage:
        reader, writer = await stage.connect()
        writer.write(upgrade)
        await receive(reader, len(switched))
        writer.write(b"\x81\x05hello")
        assert await receive(reader, 7) == b"\x81\x05hello"
        await until(lambda: stage.process.everything.endswith(b"hello"))
        assert RecordReader().feed(stage.process.everything) == [
            Record(upgrade, False),
            Record(b"\x81\x05hello", False),
        ]
        writer.close()


async def test_an_upgrade_that_the_pod_declines_ends_the_copy() -> None:
    """Then it was a request like any other."""
    upgrade = b"GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with staged(mirroring(), process=silent) as stage:
        reader, writer = await stage.connect()
        writer.write(upgrade + GET)
        assert await receive(reader, 2 * len(APP)) == APP * 2
        await until(lambda: stage.process.everything.endswith(GET))
        expected = [Record(upgrade, False), Record(b"", True), Record(GET, True)]
        assert RecordReader().feed(stage.process.everything) == expected
        writer.close()


async def test_a_chunked_body_is_copied_as_it_was_sent() -> None:
    """Chunks and trailers included."""
    request = b"PUT /api/c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    request += b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\nA: b\r\n\r\n"
    async with staged(mirroring(), process=silent) as stage:
        _, writer = await stage.connect()
        writer.write(request)
        await until(lambda: stage.outcomes == [Outcome.MIRRORED])
        await until(lambda: stage.process.everything.endswith(b"A: b\r\n\r\n"))
        records = RecordReader().feed(stage.process.everything)
        assert b"".join(record.data for record in records if isinstance(record, Record)) == request
        assert stage.app.everything == request
        writer.close()
