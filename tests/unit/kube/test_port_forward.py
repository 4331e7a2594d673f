"""The port-forward client against a server that speaks v4.channel.k8s.io."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from kdev.errors import ClusterFailure
from kdev.kube import port_forward
from kdev.kube.objects import Metadata, Pod
from kdev.kube.port_forward import PortForwardClosed, forward
from tests.unit.kube.fake_cluster import FakeCluster

FORBIDDEN = (
    b'{"kind":"Status","message":"pods \\"x\\" is forbidden: User \\"u\\" cannot get resource '
    b'\\"pods/portforward\\" in API group \\"\\" in the namespace \\"staging\\""}'
)
POD = Pod(metadata=Metadata(name="checkout-1", namespace="staging"))


class Recorder(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.grown = asyncio.Event()
        self.paused = asyncio.Event()
        self.lost: asyncio.Future[Exception | None] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.received += data
        self.grown.set()

    def pause_writing(self) -> None:
        """Note it."""
        self.paused.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Keep the reason."""
        self.lost.set_result(exc)

    async def until(self, size: int) -> bytes:
        """Everything received, once it is that many bytes."""
        async with asyncio.timeout(10):
            while len(self.received) < size:
                self.grown.clear()
                await self.grown.wait()
        return bytes(self.received)


@asynccontextmanager
async def echoing(cluster: FakeCluster, port: int) -> AsyncIterator[None]:
    """Something in the pod that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(64 * 1024):
            writer.write(data)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    cluster.ports[port] = server.sockets[0].getsockname()[1]
    async with server:
        yield


async def test_bytes_both_ways(cluster: FakeCluster, tmp_path: Path) -> None:
    """What is written arrives in the pod in order, in messages of bounded size, and its answers come back."""
    data = bytes(range(256)) * 4096
    async with echoing(cluster, 15990), cluster.api(tmp_path) as api:
        recorder = Recorder()
        carrier = await forward(api, POD, 15990, recorder)
        carrier.write(data)
        assert await recorder.until(len(data)) == data
        carrier.close()
        assert await recorder.lost is None


async def test_nobody_listens(cluster: FakeCluster, tmp_path: Path) -> None:
    """A port that nobody listens on ends the connection with the pod's own words."""
    async with cluster.api(tmp_path) as api:
        recorder = Recorder()
        await forward(api, POD, 4000, recorder)
        async with asyncio.timeout(5):
            lost = await recorder.lost
    assert isinstance(lost, PortForwardClosed)
    assert "error forwarding port 4000" in str(lost)


async def test_the_end_of_the_pods_side_is_a_normal_end(cluster: FakeCluster, tmp_path: Path) -> None:
    """A connection that the pod closes is lost without a reason, although no closing handshake comes."""

    async def say_goodbye(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"bye")
        writer.close()

    server = await asyncio.start_server(say_goodbye, "127.0.0.1", 0)
    cluster.ports[15990] = server.sockets[0].getsockname()[1]
    async with server, cluster.api(tmp_path) as api:
        recorder = Recorder()
        await forward(api, POD, 15990, recorder)
        async with asyncio.timeout(5):
            assert await recorder.lost is None
        assert bytes(recorder.received) == b"bye"


async def test_a_writer_is_paused(cluster: FakeCluster, tmp_path: Path) -> None:
    """A pod that does not read pauses the writer, instead of filling this machine's memory."""
    stuck = asyncio.Event()

    async def never_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await stuck.wait()
        writer.close()

    server = await asyncio.start_server(never_read, "127.0.0.1", 0, limit=1024)
    cluster.ports[15990] = server.sockets[0].getsockname()[1]
    async with server, cluster.api(tmp_path) as api:
        recorder = Recorder()
        carrier = await forward(api, POD, 15990, recorder)
        async with asyncio.timeout(10):
            while not recorder.paused.is_set():
                carrier.write(bytes(1 << 20))
                await asyncio.sleep(0)
        assert carrier.get_write_buffer_size() > 0
        carrier.abort()
        stuck.set()
        async with asyncio.timeout(5):
            await recorder.lost


async def test_an_oversized_message(cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A message longer than any port-forward's ends the connection."""
    monkeypatch.setattr(port_forward, "FRAME_MAX", 1024)
    async with echoing(cluster, 15990), cluster.api(tmp_path) as api:
        recorder = Recorder()
        carrier = await forward(api, POD, 15990, recorder)
        carrier.write(bytes(32 * 1024))
        async with asyncio.timeout(5):
            await recorder.lost


@pytest.mark.parametrize(
    ("answer", "reference"),
    [
        ((401, b"{}"), "credentials-refused"),
        ((500, b"<html>"), "not-kubernetes"),
        (
            (403, FORBIDDEN),
            "rights-missing",
        ),
    ],
)
async def test_refusals(cluster: FakeCluster, tmp_path: Path, answer: tuple[int, bytes], reference: str) -> None:
    """A refused upgrade is explained like any other refusal."""
    cluster.answer = answer
    async with cluster.api(tmp_path) as api:
        with pytest.raises(ClusterFailure) as raised:
            await forward(api, POD, 15990, Recorder())
    assert raised.value.explanation.reference == reference


async def test_garbage_on_a_channel(cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not begin with the port is not taken for a port-forward."""
    monkeypatch.setattr(cluster, "_forward", _garbage)
    async with cluster.api(tmp_path) as api:
        recorder = Recorder()
        await forward(api, POD, 15990, recorder)
        async with asyncio.timeout(5):
            lost = await recorder.lost
    assert "instead of port 15990" in str(lost)


async def _garbage(request: "object") -> "object":
    from aiohttp import web

    socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",))
    assert isinstance(request, web.Request)
    await socket.prepare(request)
    await socket.send_bytes(b"\x00garbage")
    await socket.close()
    return socket
