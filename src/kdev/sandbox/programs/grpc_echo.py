"""A gRPC service over cleartext HTTP/2: every message comes back as it was, for unary and streaming methods alike.

Any method of any service echoes, so that a client needs no generated code; grpc.health.v1.Health/Check says SERVING.
"""

import asyncio
import contextlib
from collections import defaultdict

import h2.config
import h2.connection
import h2.events
import h2.exceptions

_HEALTH = "/grpc.health.v1.Health/Check"
_SERVING = b"\0\0\0\0\2\x08\x01"
_RESPONSE = ((":status", "200"), ("content-type", "application/grpc"))
_TRAILERS = (("grpc-status", "0"),)


async def serve_grpc(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection until its peer closes it."""
    echo = GrpcEcho()
    with contextlib.suppress(OSError, h2.exceptions.ProtocolError), contextlib.closing(writer):
        writer.write(echo.connection.data_to_send())
        while data := await reader.read(1 << 16):
            echo.receive(data)
            writer.write(echo.connection.data_to_send())
            await writer.drain()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


class GrpcEcho:
    """The protocol without I/O: bytes into ``receive``, answers out of ``connection.data_to_send()``."""

    def __init__(self) -> None:
        self.connection = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self.connection.initiate_connection()
        self._waiting: defaultdict[int, bytes] = defaultdict(bytes)
        self._ended: set[int] = set()
        self._health: set[int] = set()

    def receive(self, data: bytes) -> None:
        """Take bytes from the client.

        Raises:
            h2.exceptions.ProtocolError: They are not HTTP/2.
        """
        for event in self.connection.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    self._begin(event)
                case h2.events.DataReceived():
                    self.connection.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                    if event.stream_id not in self._health:
                        self._waiting[event.stream_id] += event.data or b""
                case h2.events.StreamEnded():
                    self._end_of_request(event.stream_id)
                case h2.events.StreamReset():
                    self._forget(event.stream_id)
                case _:
                    pass
        for stream in list(self._waiting.keys() | self._ended):
            self._send(stream)

    def _begin(self, event: h2.events.RequestReceived) -> None:
        self.connection.send_headers(event.stream_id, _RESPONSE)
        if (":path", _HEALTH) in ((str(name), str(value)) for name, value in event.headers or ()):
            self._health.add(event.stream_id)

    def _end_of_request(self, stream: int) -> None:
        if stream in self._health:
            self._waiting[stream] = _SERVING
        self._ended.add(stream)

    def _send(self, stream: int) -> None:
        """Send what the peer's windows allow; the rest when they open."""
        while self._waiting[stream]:
            room = min(self.connection.local_flow_control_window(stream), self.connection.max_outbound_frame_size)
            if room == 0:
                return
            piece, self._waiting[stream] = self._waiting[stream][:room], self._waiting[stream][room:]
            self.connection.send_data(stream, piece)
        if stream in self._ended:
            self.connection.send_headers(stream, _TRAILERS, end_stream=True)
            self._forget(stream)

    def _forget(self, stream: int) -> None:
        self._waiting.pop(stream, None)
        self._ended.discard(stream)
        self._health.discard(stream)
