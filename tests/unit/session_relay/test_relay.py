"""Raw streams: bytes, ends, resets and refusals pass between the agent and the developer's process."""

import asyncio
import os
import socket
import struct

import pytest

from kdev.tunnel.half_close import half_close
from tests.unit.session_relay.ends import LocalServer, stalled


def reset(writer: asyncio.StreamWriter) -> None:
    """Close a connection by a reset, as a process that crashes with unread input does."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def test_bytes_pass_both_ways(serving, server: LocalServer) -> None:
    """What the agent writes reaches the process, and its answer comes back."""
    async with serving(server.port) as laptop:
        agent = laptop.open()
        agent.stream.write(b"ping")
        reader, writer = await server.connection()
        assert await reader.readexactly(4) == b"ping"
        writer.write(b"pong")
        await agent.accept
        assert await agent.bytes.readexactly(4) == b"pong"
        writer.close()


async def test_a_server_may_speak_first(serving, server: LocalServer) -> None:
    """Bytes that the process sends at once come after the acceptance, none is lost."""
    async with serving(server.port) as laptop:
        agent = laptop.open()
        _, writer = await server.connection()
        writer.write(b"220 ready\r\n")
        assert await agent.bytes.readline() == b"220 ready\r\n"
        assert agent.accept.done()
        writer.close()


async def test_nobody_listening_is_a_refusal(serving, server: LocalServer) -> None:
    """The agent learns that nothing was delivered."""
    await server.stop()
    async with serving(server.port) as laptop:
        agent = laptop.open()
        agent.stream.write(b"POST / HTTP/1.1\r\n\r\n")
        assert isinstance(await agent.lost, ConnectionRefusedError)


async def test_a_port_that_is_not_mapped_is_refused(serving, server: LocalServer) -> None:
    """The agent cannot reach other ports of the laptop."""
    async with serving(server.port) as laptop:
        assert isinstance(await laptop.open(port=server.port).lost, ConnectionRefusedError)
    assert server.connections_waiting == 0


@pytest.mark.skipif(not socket.has_ipv6, reason="needs ::1")
async def test_a_process_on_ipv6_alone_is_reached(serving) -> None:
    """A server that binds ::1 only is as good."""
    local = LocalServer()
    await local.start("::1")
    async with serving(local.port) as laptop:
        agent = laptop.open()
        _, writer = await local.connection()
        await agent.accept
        writer.close()
    await local.close()


async def test_the_agents_end_reaches_the_process(serving, server: LocalServer) -> None:
    """Half-close: the process reads to the end and can still answer."""
    async with serving(server.port) as laptop:
        agent = laptop.open()
        agent.stream.write(b"all")
        half_close(agent.stream)
        reader, writer = await server.connection()
        assert await reader.read() == b"all"
        writer.write(b"answer")
        writer.close()
        assert await agent.bytes.read() == b"answer"


async def test_the_processes_end_reaches_the_agent(serving, server: LocalServer) -> None:
    """Half-close the other way: the agent can still send."""
    async with serving(server.port) as laptop:
        agent = laptop.open()
        reader, writer = await server.connection()
        writer.write(b"bye")
        half_close(writer.transport)
        assert await agent.bytes.read() == b"bye"
        agent.stream.write(b"late")
        half_close(agent.stream)
        assert await reader.read() == b"late"
        writer.close()


async def test_a_process_that_resets_resets_the_stream(serving, server: LocalServer) -> None:
    """The agent sees a reset, not an end that looks complete."""
    async with serving(server.port) as laptop:
        agent = laptop.open()
        _, writer = await server.connection()
        await agent.accept
        reset(writer)
        assert isinstance(await agent.lost, ConnectionResetError)


async def test_a_stream_that_is_reset_resets_the_connection(serving, server: LocalServer) -> None:
    """A client's cancellation reaches the process."""
    async with serving(server.port) as laptop:
        agent = laptop.open()
        reader, writer = await server.connection()
        await agent.accept
        agent.stream.abort()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_the_tunnels_loss_resets_the_connection(serving, server: LocalServer) -> None:
    """A laptop that loses the agent does not leave the process with half a request."""
    async with serving(server.port) as laptop:
        agent = laptop.open()
        agent.stream.write(b"half")
        reader, writer = await server.connection()
        assert await reader.readexactly(4) == b"half"
        laptop.tunnel.close()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_what_was_handed_over_is_known_to_the_byte(serving, server: LocalServer) -> None:
    """After the process has closed, the agent knows how much of what it wrote had been read from the stream."""
    async with serving(server.port) as laptop:
        agent = laptop.open()
        agent.stream.write(b"12345")
        reader, writer = await server.connection()
        await reader.readexactly(5)
        writer.close()
        await agent.bytes.read()
        assert agent.stream.get_extra_info("delivered") == 5


async def test_a_process_that_does_not_read_holds_the_agent_back(serving, server: LocalServer) -> None:
    """Back-pressure goes through: the agent is paused, and everything arrives in the end."""
    body = os.urandom(8 * 1024 * 1024)
    async with serving(server.port) as laptop:
        agent = laptop.open()
        reader, writer = await server.connection()
        agent.stream.write(body)
        assert await stalled(agent) > 0
        half_close(agent.stream)
        assert await reader.read() == body
        writer.close()


async def test_an_agent_that_does_not_read_holds_the_process_back(serving, server: LocalServer) -> None:
    """Back-pressure goes through the other way, too."""
    body = os.urandom(8 * 1024 * 1024)
    async with serving(server.port) as laptop:
        agent = laptop.open()
        _, writer = await server.connection()
        await agent.accept
        agent.stream.pause_reading()
        writer.write(body)
        drain = asyncio.get_running_loop().create_task(writer.drain())
        done, _ = await asyncio.wait([drain], timeout=0.05)
        assert not done
        agent.stream.resume_reading()
        writer.close()
        assert await agent.bytes.read() == body
        await drain
