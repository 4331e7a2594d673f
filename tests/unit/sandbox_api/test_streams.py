"""port-forward and exec over their wires, against the node that echoes."""

import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from kdev.sandbox.api.streaming import spdy
from kdev.sandbox.api.streaming.spdy import DataReceived
from tests.unit.sandbox_api.conftest import Cluster

_POD = "/api/v1/namespaces/default/pods/web"
_FORWARD = f"{_POD}/portforward"


@pytest.fixture
async def echo(cluster: Cluster) -> AsyncIterator[None]:
    """Port 8080 of every pod echoes and ends when its client does."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    cluster.node.ports[8080] = server.sockets[0].getsockname()
    async with server:
        await cluster.pod()
        yield


async def test_channels_begin_with_the_port_and_carry_bytes(cluster: Cluster, echo: None):
    """v4.channel.k8s.io: two channels a port, each opened by the port's number; then data."""
    async with cluster.session.ws_connect(f"{_FORWARD}?ports=8080&ports=9", protocols=["v4.channel.k8s.io"]) as socket:
        opening = [await socket.receive_bytes() for _ in range(4)]
        assert opening == [b"\x00\x90\x1f", b"\x01\x90\x1f", b"\x02\x09\x00", b"\x03\x09\x00"]
        assert (await socket.receive_bytes()).startswith(b"\x03error forwarding port 9 to pod ")
        await socket.send_bytes(b"\x00hello")
        assert await socket.receive_bytes() == b"\x00hello"


async def test_channels_end_without_a_close_frame(cluster: Cluster, echo: None):
    """A refused connection is told on the error channel, then the socket ends as a kubelet's does: 1006."""
    async with cluster.session.ws_connect(f"{_FORWARD}?ports=9", protocols=["v4.channel.k8s.io"]) as socket:
        messages = [message.data async for message in socket]
        assert b"connection refused" in messages[-1]
        assert socket.close_code == aiohttp.WSCloseCode.ABNORMAL_CLOSURE


async def test_bulk_passes_both_ways_with_back_pressure(cluster: Cluster, echo: None):
    """A client that sends 8 MB before it reads gets every byte back."""
    async with cluster.session.ws_connect(_FORWARD + "?ports=8080", max_msg_size=0) as socket:
        blob = bytes(range(256)) * 128

        async def send() -> None:
            for _ in range(256):
                await socket.send_bytes(b"\x00" + blob)

        sending = asyncio.create_task(send())
        received = bytearray()
        while len(received) < 256 * len(blob):
            message = await socket.receive_bytes()
            received += message[1:] if message[0] == 0 and len(message) != 3 else b""
        await sending
        assert received == blob * 256


@pytest.mark.parametrize("query", ["", "?ports=0", "?ports=x", "?ports=70000"])
async def test_ports_that_are_none_are_refused(cluster: Cluster, echo: None, query: str):
    """Before anything is upgraded."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await cluster.session.ws_connect(_FORWARD + query, protocols=["v4.channel.k8s.io"])
    assert refused.value.status == 400


async def test_a_protocol_of_the_future_is_refused(cluster: Cluster, echo: None):
    """v5 of port-forward does not exist: 403, as a real cluster answers."""
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await cluster.session.ws_connect(f"{_FORWARD}?ports=8080", protocols=["v5.channel.k8s.io"])
    assert refused.value.status == 403


async def test_spdy_streams_inside_a_websocket(cluster: Cluster, echo: None):
    """Current kubectl's way: pairs of streams, half-closed by the client, closed by the server."""
    async with cluster.session.ws_connect(_FORWARD, protocols=["SPDY/3.1+portforward.k8s.io"]) as socket:
        client = spdy.Connection()
        headers = {"port": "8080", "requestid": "0"}
        await socket.send_bytes(
            client.open(1, headers | {"streamtype": "error"}, fin=True)
            + client.open(3, headers | {"streamtype": "data"})
            + spdy.data_frame(3, b"hello")
            + spdy.data_frame(3, b"", fin=True)
        )
        events: list[spdy.Event] = []
        while sum(isinstance(event, DataReceived) and event.fin for event in events) < 2:
            events += client.feed(await socket.receive_bytes())
    data = b"".join(event.data for event in events if isinstance(event, DataReceived) and event.stream == 3)
    assert data == b"hello"


async def test_exec_reports_output_and_exit_code(cluster: Cluster, echo: None):
    """Output and errors come on their channels, the exit code as a Status."""
    query = "?container=app&command=false&command=x&stdout=true&stderr=true"
    async with cluster.session.ws_connect(f"{_POD}/exec{query}", protocols=["v5.channel.k8s.io"]) as socket:
        frames = [message.data async for message in socket]
    assert {frame for frame in frames if frame[0] in {1, 2}} == {b"\x01x\n", b"\x02grumble\n"}
    status = json.loads(next(frame for frame in frames if frame[0] == 3)[1:])
    assert (status["reason"], status["details"]["causes"]) == (
        "NonZeroExitCode",
        [{"reason": "ExitCode", "message": "7"}],
    )


async def test_exec_ends_input_by_the_close_channel(cluster: Cluster, echo: None):
    """v5's channel 255 closes stdin, and the program ends by itself."""
    query = "?container=app&command=cat&stdin=true&stdout=true"
    async with cluster.session.ws_connect(f"{_POD}/exec{query}", protocols=["v5.channel.k8s.io"]) as socket:
        await socket.send_bytes(b"\x00piped")
        await socket.send_bytes(b"\xff\x00")
        frames = [message.data async for message in socket]
    assert b"\x01piped" in frames
    assert json.loads(frames[-1][1:])["status"] == "Success"


async def test_logs_follow_the_query(cluster: Cluster, echo: None):
    """The tail is the tail; what cannot be filtered says so; no earlier run is 400."""
    async with cluster.session.get(f"{_POD}/log?tailLines=1") as answer:
        assert await answer.text() == "three\n"
    assert (await cluster.call("GET", f"{_POD}/log?sinceSeconds=5"))[0] == 501
    code, body = await cluster.call("GET", f"{_POD}/log?previous=true")
    assert (code, body["message"]) == (400, 'previous terminated container "app" in pod "web" not found')
