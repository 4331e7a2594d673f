"""Streams of a tunnel as transports: data, back-pressure, and every way to end."""

import asyncio
import socket
from typing import Any

import pytest

from kdev.tunnel.half_close import half_close
from kdev.tunnel.transport import Tunnel
from kdev.tunnel.yamux.connection import Role
from kdev.tunnel.yamux.frames import INITIAL_WINDOW, Flag, FrameType, GoAwayCode, encode
from kdev.tunnel.yamux.keep_alive import KeepAlive
from kdev.tunnel.yamux.limits import Limits
from kdev.tunnel.yamux.protocol_error import RemoteProtocolError
from tests.unit.tunnel.ends import Ends, Recorder, joined


async def opened(ends: Ends) -> tuple[Recorder, Recorder]:
    """The protocols at both ends of a new stream."""
    near = Recorder()
    ends.client.open(near)
    return near, await ends.arrivals.get()


async def test_bytes_go_both_ways() -> None:
    """A stream can be written to at once, and answers come back."""
    async with joined() as ends:
        near = Recorder()
        ends.client.open(near).write(b"question")
        far = await ends.arrivals.get()
        await far.until(lambda protocol: protocol.received == b"question")
        far.transport.writelines([b"ans", bytearray(b"w"), memoryview(b"er")])
        await near.until(lambda protocol: protocol.received == b"answer")


async def test_large_transfers_on_many_streams_arrive_whole() -> None:
    """Megabytes on many streams at once arrive in order, far beyond any window."""
    payload = bytes(range(256)) * 6000
    async with joined() as ends:
        nears = [Recorder() for _ in range(8)]
        for near in nears:
            ends.client.open(near).write(payload)
            half_close(near.transport)
        for near in nears:
            assert await near.lost is None
        fars = [await ends.arrivals.get() for _ in nears]
        assert [bytes(far.received) == payload for far in fars] == [True] * 8
        assert {far.transport.get_extra_info("delivered") for far in fars} == {0}
        assert {near.transport.get_extra_info("delivered") for near in nears} == {len(payload)}


async def test_what_is_written_in_one_turn_leaves_in_one_write() -> None:
    """The carrier sees one write for all streams' frames of a turn."""
    tunnel = Tunnel(Role.CLIENT)
    carrier = _Carrier(tunnel)
    tunnel.connection_made(carrier)
    one, two = tunnel.open(Recorder()), tunnel.open(Recorder())
    one.write(b"a")
    two.write(b"b")
    one.write(b"c")
    assert carrier.writes == []
    await asyncio.sleep(0)
    assert len(carrier.writes) == 1
    tunnel.close()
    await tunnel.lost


async def test_a_paused_reader_pauses_its_writer_and_nobody_else() -> None:
    """One stream's reader stops: its writer is paused within a window, and another stream goes on."""
    async with joined() as ends:
        slow, slow_far = await opened(ends)
        slow_far.transport.pause_reading()
        slow.transport.write(b"x" * (2 * INITIAL_WINDOW))
        assert slow.log == ["made", "pause"]
        fast, fast_far = await opened(ends)
        fast.transport.write(b"y" * (3 * INITIAL_WINDOW))
        await fast_far.until(lambda protocol: len(protocol.received) == 3 * INITIAL_WINDOW)
        assert slow_far.received == b""
        assert slow.transport.get_write_buffer_size() == INITIAL_WINDOW
        slow_far.transport.resume_reading()
        await slow_far.until(lambda protocol: len(protocol.received) == 2 * INITIAL_WINDOW)
        await slow.until(lambda protocol: protocol.log == ["made", "pause", "resume"])


async def test_a_full_carrier_pauses_every_stream_that_writes() -> None:
    """While the carrier takes nothing, one write is kept for each stream; afterwards they have turns."""
    tunnel = Tunnel(Role.CLIENT)
    carrier = _Carrier(tunnel)
    tunnel.connection_made(carrier)
    protocols = [Recorder(), Recorder()]
    streams = [tunnel.open(protocol) for protocol in protocols]
    await asyncio.sleep(0)
    carrier.writes.clear()
    tunnel.pause_writing()
    for stream in streams:
        stream.write(b"z" * 100_000)
    await asyncio.sleep(0)
    assert [protocol.log for protocol in protocols] == [["made", "pause"]] * 2
    assert carrier.writes == []
    tunnel.resume_writing()
    assert [protocol.log for protocol in protocols] == [["made", "pause", "resume"]] * 2
    sent = b"".join(carrier.writes)
    frames = [(1, 65536), (3, 65536), (1, 34464), (3, 34464)]
    assert sent == b"".join(encode(FrameType.DATA, 0, stream, size) + b"z" * size for stream, size in frames)
    tunnel.close()
    await tunnel.lost


async def test_writing_pauses_and_resumes_at_the_set_limits() -> None:
    """A stream's own water marks decide, as those of asyncio's transports do."""
    async with joined() as ends:
        near, far = await opened(ends)
        near.transport.set_write_buffer_limits(high=10)
        assert near.transport.get_write_buffer_limits() == (2, 10)
        far.transport.pause_reading()
        near.transport.write(b"x" * (INITIAL_WINDOW + 10))
        assert near.log == ["made"]
        near.transport.write(b"x")
        assert near.log == ["made", "pause"]
        with pytest.raises(ValueError, match="high"):
            near.transport.set_write_buffer_limits(high=1, low=2)


async def test_half_close_leaves_the_other_direction_open() -> None:
    """A protocol that keeps a stream open after its end may still write."""
    async with joined(keep_open=True) as ends:
        near, far = await opened(ends)
        near.transport.write(b"question")
        half_close(near.transport)
        half_close(near.transport)
        await far.until(lambda protocol: "eof" in protocol.log)
        with pytest.raises(RuntimeError):
            near.transport.write(b"more")
        far.transport.write(b"answer")
        far.transport.close()
        assert await near.lost is None
        assert (bytes(far.received), bytes(near.received)) == (b"question", b"answer")
        assert near.log == ["made", "eof", "lost"]


async def test_close_sends_what_waits() -> None:
    """A stream closed with bytes waiting for the window is lost only when they have left."""
    async with joined() as ends:
        near, far = await opened(ends)
        near.transport.write(b"x" * (4 * INITIAL_WINDOW))
        near.transport.close()
        near.transport.write(b"too late")
        assert near.transport.is_closing()
        assert await near.lost is None
        assert await far.lost is None
        assert len(far.received) == 4 * INITIAL_WINDOW


async def test_streams_closed_unread_leave_room_for_others() -> None:
    """What a protocol did not care to read does not count against the buffers for ever."""
    async with joined(limits=Limits(buffered=1000)) as ends:
        for _ in range(5):
            near, far = await opened(ends)
            far.transport.pause_reading()
            near.transport.write(b"x" * 600)
            marker, marker_far = await opened(ends)
            marker.transport.write(b"after that")
            await marker_far.until(lambda protocol: protocol.received == b"after that")
            far.transport.close()
            assert await near.lost is None


async def test_abort_resets_the_other_end() -> None:
    """The other end's protocol is told of a reset; nobody knows what was delivered to the end that gave up."""
    async with joined() as ends:
        near, far = await opened(ends)
        far.transport.write(b"x" * 100)
        await near.until(lambda protocol: len(protocol.received) == 100)
        near.transport.abort()
        assert await near.lost is None
        assert isinstance(await far.lost, ConnectionResetError)
        assert near.transport.get_extra_info("delivered") is None
        assert far.transport.get_extra_info("delivered") == 100


async def test_what_comes_for_a_closed_stream_is_reset() -> None:
    """A writer whose reader has closed is not left to write into the void."""
    async with joined(keep_open=True) as ends:
        near, far = await opened(ends)
        near.transport.close()
        await far.until(lambda protocol: "eof" in protocol.log)
        far.transport.write(b"anybody there?")
        assert isinstance(await far.lost, ConnectionResetError)
        assert far.transport.get_extra_info("delivered") == 0


async def test_an_answer_that_ended_is_heard_even_if_a_reset_follows() -> None:
    """A slow reader gets all of an answer whose sender closed and then reset the stream for what came too late."""
    async with joined() as ends:
        near, far = await opened(ends)
        far.transport.pause_reading()
        near.transport.write(b"answer")
        near.transport.close()
        await opened(ends)  # the answer has come before this
        far.transport.write(b"too late")
        while not far.transport.yamux.gone:
            await opened(ends)  # and the reset before one of these
        far.transport.write(b"later still")
        assert far.log == ["made"]
        far.transport.resume_reading()
        assert isinstance(await far.lost, ConnectionResetError)
        assert (far.received, far.log) == (b"answer", ["made", "eof", "lost"])


async def test_writing_to_a_stream_whose_reset_is_about_to_be_told_is_nothing() -> None:
    """Bytes and the reset after them may arrive together; an answer to the bytes is dropped without complaint."""

    class Echo(Recorder):
        def data_received(self, data: bytes) -> None:
            self.received += data
            self.transport.write(data)

    echo = Echo()
    tunnel = Tunnel(Role.SERVER, lambda stream: echo)
    carrier = _Carrier(tunnel)
    tunnel.connection_made(carrier)
    tunnel.data_received(encode(FrameType.DATA, Flag.SYN, 1, 5) + b"hello" + encode(FrameType.DATA, 0, 1, 3) + b"you")
    tunnel.data_received(encode(FrameType.DATA, 0, 1, 4) + b"more" + encode(FrameType.WINDOW_UPDATE, Flag.RST, 1, 0))
    assert isinstance(await echo.lost, ConnectionResetError)
    assert echo.received == b"helloyoumore"
    assert b"more" not in b"".join(carrier.writes)
    tunnel.close()
    await tunnel.lost


async def test_closing_with_bytes_unread_resets_a_writer_that_waits() -> None:
    """A writer that waits for credit nobody will give is told, after it has heard everything."""
    async with joined(keep_open=True) as ends:
        near, far = await opened(ends)
        near.transport.pause_reading()
        far.transport.write(b"x" * (2 * INITIAL_WINDOW))
        near.transport.write(b"last words")
        await far.until(lambda protocol: protocol.received == b"last words")
        await opened(ends)  # by now the first window has come
        near.transport.close()
        assert isinstance(await far.lost, ConnectionResetError)
        assert far.log == ["made", "pause", "eof", "lost"]


async def test_bytes_kept_while_paused_come_before_the_end() -> None:
    """A paused protocol is told neither bytes nor the end, then both in order."""
    async with joined() as ends:
        near, far = await opened(ends)
        far.transport.pause_reading()
        near.transport.write(b"last words")
        half_close(near.transport)
        marker, marker_far = await opened(ends)
        marker.transport.write(b"after that")
        await marker_far.until(lambda protocol: protocol.received == b"after that")
        assert (far.received, far.log) == (b"", ["made"])
        far.transport.resume_reading()
        await far.lost
        assert (far.received, far.log) == (b"last words", ["made", "eof", "lost"])


async def test_pushed_back_bytes_go_to_the_next_protocol() -> None:
    """A protocol that has read too far gives the rest to its successor, in order, and it counts once."""

    class Head(Recorder):
        def data_received(self, data: bytes) -> None:
            self.received += data[:4]
            self.transport.set_protocol(successor)
            self.transport.push_back(data[4:])

    successor = Recorder()
    async with joined() as ends:
        near, far = await opened(ends)
        far.transport.set_protocol(head := Head())
        head.transport = far.transport
        near.transport.write(b"headbody")
        await successor.until(lambda protocol: protocol.received == b"body")
        near.transport.write(b"more")
        await successor.until(lambda protocol: protocol.received == b"bodymore")
        far.transport.close()
        await near.lost
        assert near.transport.get_extra_info("delivered") == 12


async def test_a_protocol_that_fails_loses_its_stream_only() -> None:
    """An exception in one stream's protocol is reported, resets that stream, and leaves the tunnel."""

    class Failing(Recorder):
        def data_received(self, data: bytes) -> None:
            raise ZeroDivisionError

    reported: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context))
    async with joined() as ends:
        near, far = await opened(ends)
        far.transport.set_protocol(failing := Failing())
        near.transport.write(b"x")
        assert isinstance(await near.lost, ConnectionResetError)
        assert isinstance(await failing.lost, ZeroDivisionError)
        assert len(reported) == 1
        other, other_far = await opened(ends)
        other.transport.write(b"fine")
        await other_far.until(lambda protocol: protocol.received == b"fine")


async def test_when_the_carrier_is_gone_every_stream_is() -> None:
    """All protocols are told, and nobody knows what was delivered."""
    async with joined() as ends:
        protocols = [*await opened(ends), *await opened(ends)]
        ends.client.close()
        for protocol in protocols:
            assert isinstance(await protocol.lost, ConnectionResetError)
            assert protocol.transport.get_extra_info("delivered") is None
        await ends.server.lost
        assert not ends.server.can_open
        with pytest.raises(ConnectionError):
            ends.server.open(Recorder())


async def test_garbage_ends_the_tunnel() -> None:
    """What is no frame ends everything, and the other end is told why before the carrier closes."""
    tunnel = Tunnel(Role.SERVER)
    carrier = _Carrier(tunnel)
    tunnel.connection_made(carrier)
    tunnel.data_received(b"GET / HTTP/1.1\r\n\r\n")
    assert isinstance(await tunnel.lost, RemoteProtocolError)
    assert carrier.writes == [encode(FrameType.GO_AWAY, 0, 0, GoAwayCode.PROTOCOL_ERROR)]
    assert carrier.closed


async def test_go_away_with_an_error_ends_the_tunnel() -> None:
    """An end that the other accuses of an error does not go on."""
    tunnel = Tunnel(Role.SERVER)
    carrier = _Carrier(tunnel)
    tunnel.connection_made(carrier)
    tunnel.data_received(encode(FrameType.GO_AWAY, 0, 0, GoAwayCode.INTERNAL_ERROR))
    assert isinstance(await tunnel.lost, RemoteProtocolError)


async def test_after_going_away_open_streams_go_on() -> None:
    """No more streams are taken, and those that are open are served."""
    async with joined() as ends:
        near, far = await opened(ends)
        ends.server.go_away()
        far.transport.write(b"still here")
        await near.until(lambda protocol: protocol.received == b"still here")
        assert not ends.client.can_open


async def test_an_end_without_an_acceptor_resets_streams() -> None:
    """A stream that nobody expects is reset."""
    async with joined() as ends:
        near = Recorder()
        ends.server.open(near)
        assert isinstance(await near.lost, ConnectionResetError)


async def test_a_silent_peer_is_given_up() -> None:
    """Pings go out; when nothing at all comes back the carrier is aborted and the streams are lost."""
    tunnel = Tunnel(Role.CLIENT, keep_alive=KeepAlive(interval=0.001, misses=2))
    carrier = _Carrier(tunnel)
    tunnel.connection_made(carrier)
    near = Recorder()
    tunnel.open(near)
    assert isinstance(await near.lost, ConnectionResetError)
    assert isinstance(await tunnel.lost, ConnectionResetError)
    sent = b"".join(carrier.writes)
    assert all(encode(FrameType.PING, Flag.SYN, 0, value) in sent for value in (1, 2))
    assert carrier.closed


async def test_round_trip_is_measured() -> None:
    """A tunnel in use knows how far away its other end is."""
    async with joined(keep_alive=KeepAlive(interval=0.001, misses=1000)) as ends:
        async with asyncio.timeout(10):
            while ends.client.round_trip is None:  # noqa: ASYNC110 - nothing tells of an answered ping
                await asyncio.sleep(0.001)
        assert ends.client.round_trip > 0


async def test_streams_closed_here_do_not_linger_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that the other end never ends is reset some time after it was closed here."""
    monkeypatch.setattr("kdev.tunnel.transport.LINGER", 0.0)
    async with joined(keep_open=True, keep_alive=KeepAlive(interval=0.001, misses=1000)) as ends:
        near, far = await opened(ends)
        near.transport.close()
        assert isinstance(await far.lost, ConnectionResetError)


async def test_a_tunnel_is_idle_when_both_ends_are_done_with_every_stream_opened_here() -> None:
    """Streams that the other end opened do not count, and neither do those of a tunnel that is gone."""
    async with joined(keep_open=True) as ends:
        await ends.client.idle()
        near, far = await opened(ends)
        _, other = await opened(ends)
        assert (ends.client.streams, ends.server.streams) == (2, 0)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            idle = group.create_task(ends.client.idle())
            near.transport.close()
            other.transport.close()
            await far.until(lambda protocol: "eof" in protocol.log)
            assert not idle.done()
            far.transport.close()
        assert ends.client.streams == 0
        await opened(ends)
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            group.create_task(ends.client.idle())
            ends.server.close()


async def test_a_stream_beyond_the_buffers_is_reset_with_the_reason() -> None:
    """A protocol learns that its stream was reset here, and because of which limit."""
    async with joined(limits=Limits(buffered=1000)) as ends:
        near, far = await opened(ends)
        far.transport.pause_reading()
        near.transport.write(b"x" * 600)
        near.transport.write(b"x" * 600)
        assert "1000 bytes" in str(await far.lost)
        assert isinstance(await near.lost, ConnectionResetError)


async def test_extra_information_is_the_carriers_except_its_socket() -> None:
    """Whoever asks a stream learns whom the carrier talks to, and cannot touch the carrier's socket."""
    loop = asyncio.get_running_loop()
    near, far = socket.socketpair()
    with far:
        tunnel = Tunnel(Role.CLIENT)
        await loop.create_connection(lambda: tunnel, sock=near)
        stream = tunnel.open(Recorder())
        assert stream.get_extra_info("stream") == 1
        assert stream.get_extra_info("socket", "none") == "none"
        assert stream.get_extra_info("nothing", "default") == "default"
        tunnel.close()
        await tunnel.lost


class _Carrier(asyncio.Transport):
    """A carrier that remembers what it was asked to do."""

    def __init__(self, tunnel: Tunnel) -> None:
        super().__init__()
        self.tunnel = tunnel
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.abort()

    def abort(self) -> None:
        self.closed = True
        asyncio.get_running_loop().call_soon(self.tunnel.connection_lost, None)
