"""Record streams: mirrored requests are played one after the other, and nothing but whole ones."""

import asyncio

import pytest

from kdev.session import replay
from kdev.session.replay import Answered
from kdev.tunnel.half_close import half_close
from kdev.tunnel.records import CUT, encode_records
from kdev.tunnel.streams import StreamForm
from tests.unit.session_relay.ends import POD_PORT, AgentEnd, Laptop, LocalServer, stalled

GET = b"GET /a?b=1 HTTP/1.1\r\nHost: pod\r\n\r\n"
POST = b"POST /p HTTP/1.1\r\nHost: pod\r\nContent-Length: 4\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def mirror(laptop: Laptop, *messages: bytes) -> AgentEnd:
    """Open a record stream and send whole messages on it."""
    agent = laptop.open(form=StreamForm.RECORDS)
    for message in messages:
        agent.stream.write(encode_records(message, last=True))
    return agent


async def answer(connection: Connection, request: bytes, response: bytes) -> None:
    """Take exactly this request and answer it."""
    reader, writer = connection
    assert await reader.readexactly(len(request)) == request
    writer.write(response)


async def test_requests_are_played_in_order_on_one_connection(serving, server: LocalServer) -> None:
    """The process gets each request byte for byte; of the answers only the status is told."""
    async with serving(server.port) as laptop:
        agent = mirror(laptop, GET, POST + b"body")
        connection = await server.connection()
        await answer(connection, GET, OK)
        await answer(
            connection, POST + b"body", b"HTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        )
        assert await laptop.answered.get() == Answered(POD_PORT, "GET", "/a?b=1", 200)
        assert await laptop.answered.get() == Answered(POD_PORT, "POST", "/p", 404)
        half_close(agent.stream)
        assert await agent.bytes.read() == b""
        assert await connection[0].read() == b""
        connection[1].close()


async def test_the_next_request_waits_for_the_answers_end(serving, server: LocalServer) -> None:
    """Half an answer is not one, nor is an interim response."""
    async with serving(server.port) as laptop:
        mirror(laptop, GET, POST + b"body")
        reader, writer = await server.connection()
        await answer(
            (reader, writer), GET, b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no"
        )
        second = asyncio.get_running_loop().create_task(reader.readexactly(len(POST)))
        done, _ = await asyncio.wait([second], timeout=0.05)
        assert not done
        assert laptop.answered.empty()
        writer.write(b"k")
        assert await second == POST
        writer.close()


async def test_a_request_streams_as_it_comes(serving, server: LocalServer) -> None:
    """The process sees the begin of an upload before its end was mirrored."""
    async with serving(server.port) as laptop:
        agent = laptop.open(form=StreamForm.RECORDS)
        agent.stream.write(encode_records(POST, last=False))
        reader, writer = await server.connection()
        assert await reader.readexactly(len(POST)) == POST
        agent.stream.write(encode_records(b"body", last=True))
        await answer((reader, writer), b"body", OK)
        assert (await laptop.answered.get()).status == 200
        writer.close()


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.0 200 OK\r\n\r\nuntil close",
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
    ],
)
async def test_a_process_that_closes_after_each_answer_is_dialled_again(
    response: bytes, serving, server: LocalServer
) -> None:
    """Each request gets a connection where the process wants it so."""
    async with serving(server.port) as laptop:
        mirror(laptop, GET, POST + b"body")
        for request in (GET, POST + b"body"):
            reader, writer = await server.connection()
            await answer((reader, writer), request, response)
            writer.close()
            assert (await laptop.answered.get()).status == 200


async def test_an_idle_connection_that_was_closed_is_replaced(serving, server: LocalServer) -> None:
    """A keep-alive timeout of the process costs no request."""
    async with serving(server.port) as laptop:
        agent = mirror(laptop, GET)
        reader, writer = await server.connection()
        await answer((reader, writer), GET, OK)
        assert (await laptop.answered.get()).status == 200
        writer.close()
        await writer.wait_closed()
        agent.stream.write(encode_records(GET, last=True))
        second = await server.connection()
        await answer(second, GET, OK)
        assert (await laptop.answered.get()).status == 200
        second[1].close()


@pytest.mark.parametrize("cut", [CUT, None], ids=["cut", "stream-ends"])
async def test_a_message_that_was_cut_is_not_taken_for_a_whole_one(
    cut: bytes | None, serving, server: LocalServer
) -> None:
    """The process sees a reset, and the next message gets a new connection."""
    async with serving(server.port) as laptop:
        agent = laptop.open(form=StreamForm.RECORDS)
        agent.stream.write(encode_records(POST + b"bo", last=False))
        reader, writer = await server.connection()
        await reader.readexactly(len(POST) + 2)
        if cut is None:
            half_close(agent.stream)
        else:
            agent.stream.write(cut + encode_records(GET, last=True))
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        assert (await laptop.answered.get()).status is None
        if cut is not None:
            second = await server.connection()
            await answer(second, GET, OK)
            second[1].close()


async def test_what_came_before_the_streams_end_is_played(serving, server: LocalServer) -> None:
    """The agent may end a stream at once behind its last request; the stream ends when that is answered."""
    async with serving(server.port) as laptop:
        agent = mirror(laptop, GET, GET)
        half_close(agent.stream)
        connection = await server.connection()
        for _ in range(2):
            await answer(connection, GET, OK)
            assert (await laptop.answered.get()).status == 200
        assert await agent.bytes.read() == b""
        connection[1].close()


async def test_a_stream_that_is_reset_aborts_the_request(serving, server: LocalServer) -> None:
    """The agent that dies within an upload leaves no request that looks complete."""
    async with serving(server.port) as laptop:
        agent = laptop.open(form=StreamForm.RECORDS)
        agent.stream.write(encode_records(POST, last=False))
        reader, writer = await server.connection()
        await reader.readexactly(len(POST))
        agent.stream.abort()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


@pytest.mark.parametrize("rest", [encode_records(b"body", last=True), CUT], ids=["whole", "cut"])
async def test_a_process_that_dies_within_a_request_is_dialled_for_the_next(
    rest: bytes, serving, server: LocalServer
) -> None:
    """The rest of the broken request is dropped."""
    async with serving(server.port) as laptop:
        agent = laptop.open(form=StreamForm.RECORDS)
        agent.stream.write(encode_records(POST, last=False))
        reader, writer = await server.connection()
        await reader.readexactly(len(POST))
        writer.close()
        assert await laptop.answered.get() == Answered(POD_PORT, "POST", "/p", None)
        agent.stream.write(rest + encode_records(GET, last=True))
        second = await server.connection()
        await answer(second, GET, OK)
        assert (await laptop.answered.get()).status == 200
        second[1].close()


async def test_an_early_answer_is_one(serving, server: LocalServer) -> None:
    """A process may answer before it has the whole request, which is sent to its end all the same."""
    async with serving(server.port) as laptop:
        agent = laptop.open(form=StreamForm.RECORDS)
        agent.stream.write(encode_records(POST, last=False))
        connection = await server.connection()
        await answer(connection, POST, OK)
        assert (await laptop.answered.get()).status == 200
        agent.stream.write(encode_records(b"body", last=True) + encode_records(GET, last=True))
        await answer(connection, b"body" + GET, OK)
        assert (await laptop.answered.get()).status == 200
        connection[1].close()


@pytest.mark.parametrize(
    ("response", "status"),
    [
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x00", 101),
        (b"SSH-2.0-server\r\n", None),
        (OK + b"unasked", 200),
    ],
)
async def test_an_answer_that_ends_http_ends_the_connection(
    response: bytes, status: int | None, serving, server: LocalServer
) -> None:
    """Behind an upgrade, or what is no HTTP, nothing can be played; the next request gets a new connection."""
    async with serving(server.port) as laptop:
        mirror(laptop, GET, GET)
        reader, writer = await server.connection()
        await answer((reader, writer), GET, response)
        assert (await laptop.answered.get()).status == status
        second = await server.connection()
        await answer(second, GET, OK)
        for one in (writer, second[1]):
            one.close()


async def test_a_conversation_after_an_upgrade_is_played_to_its_end(serving, server: LocalServer) -> None:
    """What the client says behind its upgrade reaches a process that has switched; what that says is dropped."""
    async with serving(server.port) as laptop:
        agent = laptop.open(form=StreamForm.RECORDS)
        agent.stream.write(encode_records(GET, last=False))
        reader, writer = await server.connection()
        await answer((reader, writer), GET, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nhello")
        assert (await laptop.answered.get()).status == 101
        for message in (b"first", b"second"):
            agent.stream.write(encode_records(message, last=False))
            assert await reader.readexactly(len(message)) == message
            writer.write(b"echo")
        agent.stream.write(encode_records(b"", last=True))
        assert await reader.read() == b""
        writer.close()


async def test_nobody_listening_refuses_the_stream(serving, server: LocalServer) -> None:
    """The agent learns it at once and counts the copies as dropped."""
    await server.stop()
    async with serving(server.port) as laptop:
        assert isinstance(await mirror(laptop, GET).lost, ConnectionRefusedError)


async def test_a_process_that_stopped_listening_ends_the_stream(serving, server: LocalServer) -> None:
    """When there is nobody left to dial, the agent is told by a reset."""
    async with serving(server.port) as laptop:
        agent = mirror(laptop, GET)
        reader, writer = await server.connection()
        await answer((reader, writer), GET, OK)
        await laptop.answered.get()
        await server.stop()
        writer.close()
        await writer.wait_closed()
        agent.stream.write(encode_records(GET, last=True))
        assert isinstance(await agent.lost, ConnectionResetError)


async def test_a_process_that_takes_no_requests_ends_the_stream(serving, server: LocalServer) -> None:
    """Connections that close before anything was asked are not dialled again and again."""
    async with serving(server.port) as laptop:
        agent = laptop.open(form=StreamForm.RECORDS)
        _, writer = await server.connection()
        writer.close()
        assert isinstance(await agent.lost, ConnectionResetError)


async def test_a_process_that_hangs_holds_a_bounded_number_of_requests(serving, server: LocalServer) -> None:
    """At a breakpoint the stream's window fills, and the agent is paused."""
    request = b"POST /p HTTP/1.1\r\nHost: pod\r\nContent-Length: 60000\r\n\r\n".ljust(60054, b"x")
    async with serving(server.port) as laptop:
        agent = mirror(laptop, *[request] * 100)
        connection = await server.connection()
        await agent.paused.wait()
        for _ in range(100):
            await answer(connection, request, OK)
        connection[1].close()


async def test_a_large_body_waits_for_a_slow_process(serving, server: LocalServer) -> None:
    """Within one message, too, the agent is held back; nothing is lost."""
    head = b"POST /p HTTP/1.1\r\nHost: pod\r\nContent-Length: 8388608\r\n\r\n"
    async with serving(server.port) as laptop:
        agent = mirror(laptop, head + bytes(8388608), GET)
        connection = await server.connection()
        assert await stalled(agent) > 0
        await answer(connection, head + bytes(8388608), OK)
        await answer(connection, GET, OK)
        connection[1].close()


async def test_a_stream_that_is_lost_stops_the_dialling(serving, server: LocalServer, monkeypatch) -> None:
    """Nobody is connected for a request that is not going to come."""
    async with serving(server.port) as laptop:
        agent = mirror(laptop, GET)
        await answer(
            await server.connection(), GET, b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        )
        dialling = asyncio.Event()
        cancelled = asyncio.Event()

        async def dial(*_: object) -> None:
            dialling.set()
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.set()

        monkeypatch.setattr(replay, "dial_local", dial)
        agent.stream.write(encode_records(GET, last=True))
        await dialling.wait()
        agent.stream.abort()
        await cancelled.wait()


async def test_garbage_resets_the_stream(serving, server: LocalServer) -> None:
    """A record longer than any is not waited for."""
    async with serving(server.port) as laptop:
        agent = laptop.open(form=StreamForm.RECORDS)
        agent.stream.write(b"\x7f\xff\xff\xff")
        assert isinstance(await agent.lost, ConnectionResetError)
