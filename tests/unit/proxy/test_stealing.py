"""Stolen requests, and who gets them when the process does not answer."""

import asyncio

import pytest

from kdev.proxy.interface import Outcome
from kdev.tunnel.half_close import half_close
from kdev.tunnel.messages import Mode
from tests.unit.proxy.doubles import Session, matcher
from tests.unit.proxy.stage import APP, PROCESS, answering, receive, response, silent, staged, until

GET = b"GET /api/a?x=1 HTTP/1.1\r\nHost: a\r\n\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /api/p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok"


def stealing(**settings: object) -> Session:
    """A session that steals what is below /api/."""
    return Session(Mode.STEAL, matcher("path=/api/*"), 0, **settings)  # type: ignore[arg-type]


async def _dies(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.transport.abort()


async def test_matched_requests_go_to_the_process_and_the_others_to_the_pod() -> None:
    """Each request is answered by the one it belongs to; the pod never sees a stolen one."""
    async with staged(stealing()) as stage:
        reader, writer = await stage.connect()
        for request, answer in ((GET, PROCESS), (OTHER, APP), (GET, PROCESS), (POST, None), (OTHER, APP)):
            writer.write(request)
            expected = PROCESS if answer is None else answer
            assert await receive(reader, len(expected)) == expected
        assert stage.app.everything == OTHER + OTHER
        assert stage.process.received == [GET + GET + POST]
        assert stage.outcomes == [Outcome.STOLEN] * 3
        report = stage.session.reports[0]
        assert (report.method, report.path, report.port) == (b"GET", "/api/a", stage.app.port)
        writer.close()


async def test_pipelined_requests_are_answered_in_order() -> None:
    """Requests for two servers that arrive in one piece are answered in the order they were asked."""
    requests = [GET, OTHER, OTHER, GET, GET, OTHER, POST, GET]
    async with staged(stealing()) as stage:
        reader, writer = await stage.connect()
        writer.write(b"".join(requests))
        expected = b"".join(APP if request is OTHER else PROCESS for request in requests)
        assert await receive(reader, len(expected)) == expected
        writer.close()


@pytest.mark.parametrize("request_bytes", [GET, POST])
async def test_a_refused_request_goes_to_the_pod(request_bytes: bytes) -> None:
    """Without a process nothing is lost, whatever the method."""
    session = stealing()
    session.process = 1  # nobody listens there
    async with staged(session) as stage:
        assert await stage.ask(request_bytes) == APP
        assert stage.app.everything == request_bytes
        assert stage.outcomes == [Outcome.FELL_BACK]


async def test_no_stream_at_all_means_the_pod() -> None:
    """A session that cannot open a stream leaves requests on the pod."""
    session = stealing()
    session.process = None
    async with staged(session) as stage:
        assert await stage.ask(POST) == APP
        assert stage.outcomes == [Outcome.FELL_BACK]


async def test_a_large_body_that_is_refused_arrives_whole_at_the_pod() -> None:
    """More than is kept is not read before the process has accepted."""
    body = bytes(range(256)) * 4096
    request = b"POST /api/p HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    session = stealing()
    session.process = 1
    async with staged(session) as stage:
        _, writer = await stage.connect()
        writer.write(request)
        await until(lambda: len(stage.app.everything) == len(request))
        assert stage.app.everything == request
        writer.close()


async def test_a_safe_request_is_repeated_on_the_pod_when_the_process_dies() -> None:
    """GET may be asked twice."""
    async with staged(stealing(), process=_dies) as stage:
        assert await stage.ask(GET) == APP
        assert stage.outcomes == [Outcome.FELL_BACK]


async def test_a_post_is_never_repeated_when_the_process_dies() -> None:
    """The client is told, and the pod gets nothing; the connection goes on."""
    async with staged(stealing(), process=_dies) as stage:
        reader, writer = await stage.connect()
        writer.write(POST)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\nx-kdev-error: the process did not answer\r\n")
        body = b"kdev: the process did not answer\n"
        assert await receive(reader, len(body)) == body
        assert stage.app.everything == b""
        assert stage.outcomes == [Outcome.FAILED]
        writer.write(OTHER)
        assert await receive(reader, len(APP)) == APP
        writer.close()


async def test_a_post_of_which_nothing_was_delivered_goes_to_the_pod() -> None:
    """The tunnel can prove that the process has not seen a byte of it."""
    async with staged(stealing(), process=silent) as stage:
        _, writer = await stage.connect()
        writer.write(POST)
        await until(lambda: stage.process.everything == POST)
        (stream,) = stage.session.streams
        stream.delivered = 0
        stage.process.writers[0].transport.abort()
        await until(lambda: stage.app.everything == POST)
        assert stage.outcomes == [Outcome.FELL_BACK]
        writer.close()


async def test_a_post_in_flight_when_the_tunnel_breaks_is_not_repeated() -> None:
    """Nobody knows what the process has seen."""
    async with staged(stealing(), process=silent) as stage:
        reader, writer = await stage.connect()
        writer.write(POST)
        await until(lambda: stage.process.everything == POST)
        stage.session.streams[0].break_off()
        assert (await reader.readuntil(b"\r\n")) == b"HTTP/1.1 502 Bad Gateway\r\n"
        assert stage.app.everything == b""
        writer.close()


async def test_an_answer_that_breaks_off_is_reset() -> None:
    """A part of an answer must not pass for the whole of it, even when only the connection's end would tell."""

    async def half(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
        await writer.drain()
        await reader.read(65536)

    async with staged(stealing(), process=half) as stage:
        reader, writer = await stage.connect()
        writer.write(GET)
        await reader.readuntil(b"some")
        stage.session.streams[0].break_off()
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(), 5)
        assert stage.app.everything == b""
        writer.close()


async def test_a_process_that_hangs_is_waited_for_only_as_long_as_was_said() -> None:
    """After the timeout a safe request goes to the pod, and another one is answered with an error."""
    async with staged(stealing(timeout=0.05), process=silent) as stage:
        assert await stage.ask(GET) == APP
        answer = await stage.ask(POST)
        assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout\r\nx-kdev-error: the process did not answer within")
        assert stage.outcomes == [Outcome.FELL_BACK, Outcome.FAILED]
        assert stage.app.everything == GET


async def test_an_error_before_the_body_has_come_ends_the_connection() -> None:
    """The rest of the body must not be taken for the next request."""
    async with staged(stealing(), process=_dies) as stage:
        reader, writer = await stage.connect()
        writer.write(POST[:-1])
        answer = await reader.readuntil(b"\r\n\r\n")
        assert b"connection: close\r\n" in answer
        writer.write(b"k" + OTHER)
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"kdev: ")
        assert stage.app.everything == b""
        writer.close()


async def test_an_answer_without_a_length_ends_with_the_process_s_connection() -> None:
    """The client sees its end as the end of the connection."""

    async def until_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nall of it")

    async with staged(stealing(), process=until_close) as stage:
        reader, writer = await stage.connect()
        writer.write(GET)
        assert await asyncio.wait_for(reader.read(), 5) == b"HTTP/1.1 200 OK\r\n\r\nall of it"
        writer.close()


async def test_a_process_that_closes_after_each_answer_is_asked_on_a_new_stream() -> None:
    """Its ``Connection: close`` ends the client's connection, as the answer says."""
    closing = response(b"bye", b"Connection: close")
    async with staged(stealing(), process=answering(closing)) as stage:
        for _ in range(2):
            reader, writer = await stage.connect()
            writer.write(GET)
            assert await asyncio.wait_for(reader.read(), 5) == closing
            writer.close()
        assert len(stage.process.received) == 2


async def test_a_websocket_is_stolen_as_a_whole() -> None:
    """After 101 the connection belongs to the process, both ways."""
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.write(switched + b"hello")
        while data := await reader.read(65536):
            writer.write(data.upper())

    upgrade = b"GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with staged(stealing(), process=echo) as stage:
        reader, writer = await stage.connect()
        writer.write(upgrade)
        assert await receive(reader, len(switched) + 5) == switched + b"hello"
        writer.write(OTHER)
        assert await receive(reader, len(OTHER)) == OTHER.upper()
        half_close(writer.transport)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        assert stage.app.everything == b""
        writer.close()


async def test_an_upgrade_that_is_declined_goes_on_in_http() -> None:
    """What the client has sent after it is read when the answer has come."""
    upgrade = b"GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    async with staged(stealing()) as stage:
        reader, writer = await stage.connect()
        writer.write(upgrade + OTHER + upgrade.replace(b"/api", b"/pod") + GET)
        expected = PROCESS + APP + APP + PROCESS
        assert await receive(reader, len(expected)) == expected
        writer.close()


async def test_an_upgrade_that_waits_for_its_turn_is_not_taken_for_answered() -> None:
    """The answers before it say nothing about it."""
    switched = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"

    async def switches(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(switched if b"Upgrade" in data else PROCESS if data == GET else data)

    upgrade = b"GET /api/ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"
    for first, answer in ((OTHER, APP), (GET, PROCESS)):
        async with staged(stealing(), process=switches) as stage:
            reader, writer = await stage.connect()
            writer.write(first + upgrade)
            assert await receive(reader, len(answer + switched)) == answer + switched
            writer.write(OTHER)
            assert await receive(reader, len(OTHER)) == OTHER
            writer.close()


async def test_a_client_that_ends_its_direction_still_gets_the_stolen_answer() -> None:
    """And then the connection ends."""
    async with staged(stealing()) as stage:
        reader, writer = await stage.connect()
        writer.write(OTHER + GET)
        half_close(writer.transport)
        assert await asyncio.wait_for(reader.read(), 5) == APP + PROCESS
        await asyncio.wait_for(stage.splice.connections.none_left(), 5)
        writer.close()


async def test_an_upgrade_to_http2_is_never_stolen() -> None:
    """It would take every later request of the connection along."""
    upgrade = b"GET /api/x HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    upgrade += b"HTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n"
    async with staged(stealing()) as stage:
        assert await stage.ask(upgrade) == APP
        assert stage.outcomes == []


async def test_doubtful_requests_stay_on_the_pod() -> None:
    """A match in a head that parsers could read in two ways is no match, nor is any behind it."""
    doubtful = b"POST /api/p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    async with staged(stealing()) as stage:
        reader, writer = await stage.connect()
        writer.write(GET + doubtful + GET)
        expected = PROCESS + APP * 3
        assert await receive(reader, len(expected)) == expected
        assert stage.app.everything == doubtful + GET
        writer.close()


async def test_the_pod_s_idle_end_is_not_the_end_for_a_client_of_the_process() -> None:
    """The pod closes a connection that seems idle to it; the next request for the pod gets a new one."""
    async with staged(stealing()) as stage:
        reader, writer = await stage.connect()
        for _ in range(2):
            writer.write(OTHER + GET)
            assert await receive(reader, len(APP + PROCESS)) == APP + PROCESS
            stage.app.writers[-1].close()
            await stage.app.writers[-1].wait_closed()
        assert len(stage.app.received) == 2
        writer.close()


async def test_a_surplus_of_the_process_never_reaches_the_client() -> None:
    """Bytes behind an answer would be taken for the answer to the next request."""
    async with staged(stealing(), process=answering(PROCESS + PROCESS)) as stage:
        reader, writer = await stage.connect()
        writer.write(GET + OTHER)
        assert await receive(reader, len(PROCESS + APP)) == PROCESS + APP
        writer.write(OTHER)
        assert await receive(reader, len(APP)) == APP
        writer.close()


async def test_a_process_stands_in_for_a_pod_that_is_down() -> None:
    """Stolen requests need no application."""
    async with staged(stealing(), app_up=False) as stage:
        assert await stage.ask(GET) == PROCESS


async def test_a_client_that_goes_away_resets_the_process() -> None:
    """The process notices that nobody waits for its answer."""
    async with staged(stealing(), process=silent) as stage:
        _, writer = await stage.connect()
        writer.write(GET)
        await until(lambda: stage.process.everything == GET)
        (stream,) = stage.session.streams
        writer.transport.abort()
        await until(lambda: stream.is_closing() or stage.outcomes)


async def test_what_is_not_sampled_stays_on_the_pod() -> None:
    """A matched request outside of the sample is as if it had not matched."""
    async with staged(stealing(sample=lambda: False)) as stage:
        assert await stage.ask(GET) == APP
        assert stage.outcomes == []
