"""What a speaker says in HTTP/2 with prior knowledge."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import cast

import h2.config
import h2.connection
import h2.events

from tests.integration.matrix.programs.ledger import Digest, Ledger, content


@dataclass
class _Stream:
    headers: dict[str, str]
    digest: Digest = field(default_factory=Digest)


class Http2(asyncio.Protocol):
    """One connection: ``/bytes/SIZE`` answers with content, all else with what was asked."""

    def __init__(self, name: str, ledger: Ledger, tasks: asyncio.TaskGroup) -> None:
        self._name = name
        self._ledger = ledger
        self._tasks = tasks
        self._connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self._streams: dict[int, _Stream] = {}
        self._unsent: dict[int, bytes] = {}
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with our settings."""
        self._transport = cast("asyncio.Transport", transport)
        self._connection.initiate_connection()
        self._transport.write(self._connection.data_to_send())

    def data_received(self, data: bytes) -> None:
        """Take frames, and send what the windows now allow."""
        for event in self._connection.receive_data(data):
            self._handle(event)
        for stream_id in list(self._unsent):
            self._send(stream_id)
        self._transport.write(self._connection.data_to_send())

    def _handle(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.RequestReceived(stream_id=int(stream_id), headers=headers):
                fields = {bytes(name).decode(): bytes(value).decode() for name, value in headers or ()}
                self._streams[stream_id] = _Stream(fields)
            case h2.events.DataReceived(stream_id=int(stream_id), data=bytes(data)):
                self._streams[stream_id].digest.add(data)
                self._connection.acknowledge_received_data(event.flow_controlled_length or 0, stream_id)
            case h2.events.StreamEnded(stream_id=int(stream_id)):
                self._answer(stream_id, self._streams.pop(stream_id))
            case h2.events.StreamReset(stream_id=int(stream_id)):
                self._streams.pop(stream_id, None)
                self._unsent.pop(stream_id, None)

    def _answer(self, stream_id: int, stream: _Stream) -> None:
        headers = stream.headers
        facts = {
            "method": headers[":method"],
            "path": headers[":path"],
            "xfcc": headers.get("x-forwarded-client-cert", ""),
            **stream.digest.facts(),
        }
        self._tasks.create_task(self._ledger.add(headers.get("x-cell", ""), "h2c", **facts))
        _, bytes_path, size = headers[":path"].partition("/bytes/")
        body = content(int(size)) if bytes_path else json.dumps({"from": self._name, **facts}).encode()
        self._connection.send_headers(stream_id, [(":status", "200"), ("x-from", self._name)])
        self._unsent[stream_id] = body

    def _send(self, stream_id: int) -> None:
        """Send what the windows allow; the end is a trailer that names the speaker."""
        body = self._unsent[stream_id]
        while body:
            room = min(self._connection.local_flow_control_window(stream_id), self._connection.max_outbound_frame_size)
            if room <= 0:
                self._unsent[stream_id] = body
                return
            self._connection.send_data(stream_id, body[:room])
            body = body[room:]
        self._connection.send_headers(stream_id, [("x-end", self._name)], end_stream=True)
        del self._unsent[stream_id]
