"""Connections that are not HTTP, and the edges of every connection's life."""

import asyncio

import pytest

from kdev.proxy.flow import reset
from kdev.proxy.interface import Outcome
from kdev.proxy.splice import Splice
from kdev.tunnel.half_close import half_close
from kdev.tunnel.messages import Mode
from kdev.tunnel.streams import StreamForm
from tests.unit.proxy.doubles import Session, matcher
from tests.unit.proxy.stage import APP, Talk, receive, response, silent, staged, until

HELLO = b"\x16\x03\x01\x00\x05hello"


def greeting(words: bytes) -> Talk:
    """A server that speaks first, then echoes."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(words)
        while data := await reader.read(65536):
            writer.write(data)

    return talk


def everything(mode: Mode) -> Session:
    """A session without a filter."""
    return Session(mode, matcher(), 0)


@pytest.mark.parametrize("session", [None, Session(Mode.STEAL, matcher("path=/api/*"), None)])
async def test_a_server_that_speaks_first_is_heard_at_once(session: Session | None) -> None:
    """The client need not say anything to be greeted."""
    async with staged(session, app=greeting(b"220 smtp ready\r\n")) as stage:
        reader, writer = await stage.connect()
        assert await receive(reader, 16) == b"220 smtp ready\r\n"
        writer.write(b"GET /api/ HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await receive(reader, 31) == b"GET /api/ HTTP/1.1\r\nHost: a\r\n\r\n"
        writer.close()


@pytest.mark.parametrize("begun", [b"P", b"GET /no"])
async def test_bytes_that_only_look_like_a_head_are_forwarded_after_a_moment(
    begun: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A protocol whose first bytes could begin an HTTP request is not held for ever."""
    monkeypatch.setattr("kdev.proxy.first_bytes.HEAD_PATIENCE", 0.02)
    monkeypatch.setattr("kdev.proxy.http1_route.HEAD_PATIENCE", 0.02)
    async with staged(app=greeting(b"")) as stage:
        reader, writer = await stage.connect()
        writer.write(begun)
        assert await receive(reader, len(begun)) == begun
        writer.close()


async def test_a_whole_connection_is_stolen_by_its_port() -> None:
    """Without filters on requests, other protocols are stolen as they are."""
    async with staged(everything(Mode.STEAL), process=greeting(b"")) as stage:
        reader, writer = await stage.connect()
        writer.write(HELLO)
        assert await receive(reader, len(HELLO)) == HELLO
        half_close(writer.transport)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert stage.process.everything == HELLO
        assert stage.app.everything == b""
        assert stage.outcomes == [Outcome.STOLEN]
        writer.close()


async def test_a_stolen_connection_is_greeted_by_the_process() -> None:
    """The pod's greeting shows the protocol, and is not for the client."""
    async with staged(everything(Mode.STEAL), app=greeting(b"pod"), process=greeting(b"process")) as stage:
        reader, writer = await stage.connect()
        assert await receive(reader, 7) == b"process"
        writer.write(HELLO)
        assert await receive(reader, len(HELLO)) == HELLO
        writer.close()


async def test_a_refused_connection_falls_back_with_greeting_and_bytes() -> None:
    """Nothing was delivered, so the pod takes it as if we had not been there."""
    session = everything(Mode.STEAL)
    session.process = 1
    async with staged(session, app=greeting(b"pod")) as stage:
        reader, writer = await stage.connect()
        writer.write(HELLO)
        assert await receive(reader, 3 + len(HELLO)) == b"pod" + HELLO
        assert stage.outcomes == [Outcome.FELL_BACK]
        writer.close()


async def test_a_stolen_connection_that_the_process_saw_is_not_repeated() -> None:
    """It is reset when the process dies before its first word."""

    async def dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.transport.abort()

    async with staged(everything(Mode.STEAL), process=dies) as stage:
        reader, writer = await stage.connect()
        writer.write(HELLO)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        assert stage.app.everything == b""
        assert stage.outcomes == [Outcome.FAILED]
        writer.close()


async def test_a_whole_connection_is_mirrored_by_its_port() -> None:
    """The pod answers; the process gets the client's bytes as they are."""
    async with staged(everything(Mode.MIRROR), app=greeting(b""), process=silent) as stage:
        reader, writer = await stage.connect()
        writer.write(HELLO)
        assert await receive(reader, len(HELLO)) == HELLO
        half_close(writer.transport)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        await until(lambda: stage.process.everything == HELLO)
        assert stage.session.forms == [StreamForm.RAW]
        assert stage.outcomes == [Outcome.MIRRORED]
        writer.close()


@pytest.mark.parametrize("mode", Mode)
async def test_a_connection_on_which_nothing_is_said_stays_on_the_pod(mode: Mode) -> None:
    """A health probe that only connects is none of the process's business."""
    async with staged(everything(mode), app=greeting(b""), process=silent) as stage:
        reader, writer = await stage.connect()
        half_close(writer.transport)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert (stage.outcomes, stage.session.forms) == ([], [])
        writer.close()


async def test_half_close_reaches_the_pod_and_the_answer_the_client() -> None:
    """A server may answer after the client has said that it is done."""

    async def after_the_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = b""
        while part := await reader.read(65536):
            data += part
        writer.write(data[::-1])

    for request in (HELLO, b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.1\r\nHo"):
        async with staged(app=after_the_end) as stage:
            reader, writer = await stage.connect()
            writer.write(request)
            half_close(writer.transport)
            assert await asyncio.wait_for(reader.read(), 5) == request[::-1]
            writer.close()
            await asyncio.wait_for(stage.splice.connections.none_left(), 5)


async def test_a_reset_of_the_pod_is_a_reset_for_the_client() -> None:
    """A truncated answer does not look complete."""

    async def resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\npart")
        await writer.drain()
        await reader.read(1)
        reset(writer.transport)  # type: ignore[arg-type]  # a stream's transport

    async with staged(app=resets) as stage:
        reader, writer = await stage.connect()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await reader.readuntil(b"part")
        writer.write(b"x")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_a_pod_that_does_not_listen_resets_the_client() -> None:
    """There is nobody to be connected to."""
    async with staged(app_up=False) as stage:
        reader, writer = await stage.connect()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()


async def test_a_slow_client_holds_the_pod_back() -> None:
    """What the client does not read is not hoarded here."""
    sent = 0

    async def pours(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
            sent += 65536

    async with staged(app=pours) as stage:
        reader, writer = await stage.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        before = -1
        while before != sent:
            before = sent
            await asyncio.sleep(0.05)
        (connection,) = stage.splice.connections
        assert connection.client.get_write_buffer_size() < 1 << 20
        writer.transport.resume_reading()  # type: ignore[attr-defined]  # a stream's transport
        await receive(reader, before)
        writer.close()


async def test_a_slow_pod_holds_the_client_back() -> None:
    """Nor is what the pod does not read."""

    async def deaf(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport
        await asyncio.Event().wait()

    async with staged(app=deaf) as stage:
        _, writer = await stage.connect()
        writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(300):
            writer.write(b"x" * 65536)
        await asyncio.sleep(0.05)
        (connection,) = stage.splice.connections
        (pod,) = connection.upstreams
        assert pod.buffered < 1 << 20
        writer.transport.abort()


async def test_server_sent_events_come_as_they_are_sent() -> None:
    """Each event reaches the client before the next is made."""
    asked = asyncio.Event()

    async def events(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(3):
            writer.write(b"8\r\ndata: 1\n\r\n")
            await asked.wait()
            asked.clear()
        writer.write(b"0\r\n\r\n")

    for session in (None, everything(Mode.STEAL)):
        async with staged(session, app=events, process=events) as stage:
            reader, writer = await stage.connect()
            writer.write(b"GET /events HTTP/1.1\r\nHost: a\r\n\r\n")
            for _ in range(3):
                await asyncio.wait_for(reader.readuntil(b"8\r\ndata: 1\n\r\n"), 5)
                asked.set()
            await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5)
            writer.close()


async def test_connect_is_a_tunnel_once_it_succeeds() -> None:
    """What follows is forwarded unread."""

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        while data := await reader.read(65536):
            writer.write(data)

    async with staged(app=tunnel) as stage:
        reader, writer = await stage.connect()
        writer.write(b"CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n")
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        writer.write(HELLO)
        assert await receive(reader, len(HELLO)) == HELLO
        writer.close()


async def test_a_connection_that_was_never_redirected_is_refused() -> None:
    """Whoever connects to the agent's own port is led nowhere."""
    async with staged() as stage:

        def unknown(_: object) -> tuple[str, int]:
            raise OSError(2, "No such file or directory")

        splice = Splice(lambda: None, original_destination=unknown)
        server = await asyncio.get_running_loop().create_server(splice, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        writer.close()
        server.close()
        assert stage.app.received == []


async def test_early_answers_do_not_end_the_request() -> None:
    """The rest of a body still goes where its beginning went."""

    async def early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(response(b"too large"))
        while await reader.read(65536):
            pass

    request = b"POST /api/p HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
    other = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"
    session = Session(Mode.STEAL, matcher("path=/api/*"), 0)
    async with staged(session, process=early) as stage:
        reader, writer = await stage.connect()
        writer.write(request)
        await asyncio.wait_for(reader.readuntil(b"too large"), 5)
        writer.write(b"0123456789" + other)
        assert await receive(reader, len(APP)) == APP
        await until(lambda: stage.process.everything == request + b"0123456789")
        assert stage.app.everything == other
        writer.close()
