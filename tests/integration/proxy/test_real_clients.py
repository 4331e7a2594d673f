"""curl and wrk through the splice, and bodies as large as they come."""

import asyncio
import hashlib
import re
import socket
from pathlib import Path

import pytest

from kdev.proxy.interface import Outcome
from kdev.proxy.splice import Splice
from kdev.tunnel.messages import Mode
from tests.unit.proxy.doubles import Session, matcher
from tests.unit.proxy.stage import Stage, Talk, answering, response, staged

MEGABYTES = 100


async def _run(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await asyncio.wait_for(process.communicate(), 120)
    assert process.returncode == 0, output
    return output


def _digesting() -> Talk:
    """Answers a chunked upload with the digest and the size of its body."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await asyncio.StreamReader.readuntil(reader, b"\r\n\r\n")
        if b"100-continue" in head:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        digest, size = hashlib.sha256(), 0
        while length := int(await asyncio.StreamReader.readuntil(reader, b"\r\n"), 16):
            chunk = await asyncio.StreamReader.readexactly(reader, length + 2)
            digest.update(chunk[:-2])
            size += length
        await asyncio.StreamReader.readuntil(reader, b"\r\n")
        writer.write(response(b"%s %d" % (digest.hexdigest().encode(), size), b"Connection: close"))

    return talk


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def large_file(tmp_path: Path) -> Path:
    """A file of 100 MB that compresses to nothing but is not all the same."""
    path = tmp_path / "large"
    with path.open("wb") as file:
        for number in range(MEGABYTES):
            file.write(number.to_bytes(4, "big") * (1 << 18))
    return path


@pytest.mark.parametrize("mode", [None, Mode.MIRROR, Mode.STEAL])
async def test_curl_uploads_a_large_chunked_body(mode: Mode | None, large_file: Path) -> None:
    """100 MB arrive whole where they belong, with Expect: 100-continue and all."""
    session = None if mode is None else Session(mode, matcher("path=/api/*"), 0)
    async with staged(session, app=_digesting(), process=_digesting()) as stage:
        output = await _run(
            "curl", "-sS", "-T", str(large_file), "-H", "Transfer-Encoding: chunked", "-H", "Expect: 100-continue",
            f"http://127.0.0.1:{stage.port}/api/upload",
        )  # fmt: skip
        assert output == f"{_digest(large_file)} {MEGABYTES << 20}".encode()
        if mode is Mode.STEAL:
            assert stage.app.everything == b""
            assert stage.outcomes == [Outcome.STOLEN]


@pytest.mark.parametrize("mode", [None, Mode.MIRROR, Mode.STEAL])
async def test_wrk_sees_no_error(mode: Mode | None) -> None:
    """Keep-alive connections under load: every answer is the right one and none is missing."""
    session = None if mode is None else Session(mode, matcher("path=/api/*"), 0)
    talk = answering(response(b"x" * 1024))
    async with staged(session, app=talk, process=talk) as stage:
        output = (await _run("wrk", "-t1", "-c16", "-d1s", f"http://127.0.0.1:{stage.port}/api/a")).decode()
        assert "errors" not in output
        assert "Non-2xx" not in output
        assert int(re.search(r"(\d+) requests in", output)[1]) > 100  # type: ignore[index]  # wrk always says so


async def _http2_versions(stage: Stage, *flags: str) -> bytes:
    return await _run("curl", "-sS", *flags, f"http://127.0.0.1:{stage.port}/api/a")


@pytest.mark.parametrize("mode", [None, Mode.MIRROR, Mode.STEAL])
async def test_http2_is_recognised_and_handed_over(mode: Mode | None, tmp_path: Path) -> None:
    """A client with prior knowledge is served by an HTTP/2 server behind the splice."""
    (tmp_path / "a").write_text("over HTTP/2")
    port = _free_port()
    server = await asyncio.create_subprocess_exec("nghttpd", "--no-tls", "-d", str(tmp_path), str(port))
    try:
        session = None if mode is None else Session(mode, matcher("path=/api/*"), 0)
        async with staged(session) as stage:
            await _listening(port)
            stage.splice = Splice(lambda: session, original_destination=lambda _: ("127.0.0.1", port))
            listening = await asyncio.get_running_loop().create_server(stage.splice, "127.0.0.1", 0)
            stage.port = listening.sockets[0].getsockname()[1]
            url = f"http://127.0.0.1:{stage.port}/a"
            assert await _run("curl", "-sS", "--http2-prior-knowledge", url) == b"over HTTP/2"
            listening.close()
            await asyncio.wait_for(stage.splice.connections.none_left(), 5)
    finally:
        server.kill()
        await server.wait()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


async def _listening(port: int) -> None:
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.01)
            else:
                writer.close()
                return


async def test_curl_s_offer_of_http2_is_the_pod_s_to_decline() -> None:
    """An h2c upgrade passes as it is, also where the path matches."""
    session = Session(Mode.STEAL, matcher("path=/api/*"), 0)
    async with staged(session) as stage:
        assert await _http2_versions(stage, "--http2") == b"from the app"
        assert await _http2_versions(stage, "--http1.1") == b"from the process"
        assert await _http2_versions(stage, "--http1.0") == b"from the process"
