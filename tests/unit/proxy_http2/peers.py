"""Strict HTTP/2 peers in memory (hyper-h2), with small windows, padding, trailers and cancelled streams.

hyper-h2 4.x has three habits that are not the protocol's, worked around where they matter: it applies settings of its
own that it has queued at the first acknowledgement, gives no credit for what it had processed before its own window
shrank, and refuses even empty DATA while a window is below zero.
"""

import contextlib
import random
from typing import Any

import hyperframe.frame
from h2 import events, exceptions
from h2.config import H2Configuration
from h2.connection import ConnectionInputs, H2Connection
from h2.settings import SettingCodes

from kdev.proxy.http2.frames import PREFACE


def connect(rnd: random.Random, settings: dict[SettingCodes, int], *, client: bool) -> H2Connection:
    """Make a peer whose SETTINGS are in force when they are acknowledged, not before."""
    peer = H2Connection(H2Configuration(client_side=client, header_encoding="utf-8"))
    peer.state_machine.process_input(ConnectionInputs.SEND_SETTINGS)
    frame = hyperframe.frame.SettingsFrame(0, settings={**peer.local_settings, **settings})
    peer.local_settings.update(settings)
    peer._data_to_send += (PREFACE if client else b"") + frame.serialize()
    return peer


def acknowledge(peer: H2Connection, amount: int, stream_id: int) -> None:
    """Give credit, if the stream is still there to take it."""
    with contextlib.suppress(exceptions.StreamClosedError, exceptions.NoSuchStreamError):
        peer.acknowledge_received_data(amount, stream_id)


class Server:
    """Answers requests as their headers ask, in random pieces."""

    def __init__(self, name: str, rnd: random.Random, *, informational: bool) -> None:
        self.name, self.rnd, self.informational = name, rnd, informational
        settings = {
            SettingCodes.INITIAL_WINDOW_SIZE: rnd.choice([100, 5000, 65535, 300000]),
            SettingCodes.MAX_FRAME_SIZE: rnd.choice([16384, 40000]),
            SettingCodes.HEADER_TABLE_SIZE: rnd.choice([0, 100, 4096, 10000]),
            SettingCodes.MAX_CONCURRENT_STREAMS: rnd.choice([100, 150, 200]) if name != "pod" else 200,
        }
        self.peer = connect(rnd, settings, client=False)
        self.todo: dict[int, dict[str, Any]] = {}
        self.begun: list[str] = []
        self.last: int | None = None

    def leave(self) -> None:
        """Say GOAWAY; later requests that are on their way are not looked at; hyper-h2 itself would close at once."""
        self.last = max(self.todo, default=0)
        self.peer._data_to_send += hyperframe.frame.GoAwayFrame(0, last_stream_id=self.last).serialize()

    def receive(self, data: bytes) -> None:
        """Take bytes of the splice; whatever breaks the protocol raises here."""
        for event in self.peer.receive_data(data):
            if isinstance(event, events.RequestReceived):
                self._request(event)
            elif isinstance(event, events.DataReceived):
                if event.stream_id in self.todo:
                    self.todo[event.stream_id]["got"] += len(event.data)
                if event.flow_controlled_length:
                    acknowledge(self.peer, event.flow_controlled_length, event.stream_id)
            elif isinstance(event, events.TrailersReceived):
                assert dict(event.headers)["x-sum"] == "abc"
            elif isinstance(event, events.StreamEnded) and event.stream_id in self.todo:
                self.todo[event.stream_id]["ended"] = True
            elif isinstance(event, events.StreamReset):
                self.todo.pop(event.stream_id, None)
            elif isinstance(event, events.ConnectionTerminated):
                assert not event.error_code, f"{self.name} was sent {event}"

    def _request(self, event: events.RequestReceived) -> None:
        if self.last is not None and event.stream_id > self.last:
            return
        fields = dict(event.headers)
        assert fields["x-repeat"] == fields[":path"][2:] * 3
        assert fields["cookie"]
        self.begun.append(fields["x-id"])
        want = int(fields["x-want"])
        self.todo[event.stream_id] = {"left": want, "ended": False, "answered": False, "got": 0, "fields": fields}

    def work(self) -> None:
        """Go on with a few answers."""
        for stream_id in self.rnd.sample(list(self.todo), min(4, len(self.todo))):
            self._answer(stream_id, self.todo[stream_id])
        if self.rnd.random() < 0.02:
            self.peer.ping(b"12345678")

    def _answer(self, stream_id: int, todo: dict[str, Any]) -> None:
        rnd, peer = self.rnd, self.peer
        if not todo["answered"]:
            if not todo["ended"] and rnd.random() < 0.7:
                return
            if rnd.random() < 0.3 and self.informational:
                peer.send_headers(stream_id, [(":status", "103"), ("link", "x")])
            fields = [(":status", "200"), ("x-from", self.name), ("x-id", todo["fields"]["x-id"]), ("date", "z")]
            peer.send_headers(stream_id, fields + [("x-big", "y" * 20000)] * (rnd.random() < 0.1))
            todo["answered"] = True
        window = peer.local_flow_control_window(stream_id)
        size = min(todo["left"], window, peer.max_outbound_frame_size)
        if size > 0:
            size = rnd.randint(1, size)
            padding = rnd.choice([None, 0, 20]) if min(window, peer.max_outbound_frame_size) > size + 30 else None
            peer.send_data(stream_id, bytes(size), pad_length=padding)
            todo["left"] -= size
        elif not todo["left"] and todo["ended"] and window >= 0:
            assert todo["got"] == int(todo["fields"]["x-body"])
            if rnd.random() < 0.5:
                peer.send_headers(stream_id, [("x-trailer", todo["fields"]["x-id"])], end_stream=True)
            else:
                peer.end_stream(stream_id)
            del self.todo[stream_id]
        if rnd.random() < 0.05:
            acknowledge(peer, 0, stream_id)


class Client:
    """Sends requests at random and checks what comes back.

    Attributes:
        done: What became of each ended stream: who answered, ``cancelled``, or ``reset``.
    """

    def __init__(self, rnd: random.Random, want: int, *, cancels: bool) -> None:
        self.rnd, self.want, self.cancels = rnd, want, cancels
        settings = {
            SettingCodes.INITIAL_WINDOW_SIZE: rnd.choice([1, 300, 20000, 65535, 400000]),
            SettingCodes.MAX_FRAME_SIZE: rnd.choice([16384, 50000]),
            SettingCodes.HEADER_TABLE_SIZE: rnd.choice([0, 4096, 9000]),
        }
        self.peer = connect(rnd, settings, client=True)
        self.open: dict[int, dict[str, Any]] = {}
        self.done: dict[str, str] = {}
        self.asked: dict[str, str] = {}
        self._safe: set[str] = set()
        self.goaways: list[events.ConnectionTerminated] = []
        self._unacknowledged: list[tuple[int, int]] = []
        self._settled = 0

    @property
    def finished(self) -> bool:
        """Whether every request has come to its end."""
        return len(self.done) == self.want

    def safe(self, name: str) -> bool:
        """Whether the request may be repeated whatever happened to it."""
        return name in self._safe

    def work(self) -> None:
        """Do something at random."""
        rnd = self.rnd
        if len(self.asked) < self.want and rnd.random() < 0.2 and self.peer.open_outbound_streams < 90:
            self._ask()
        for stream_id in list(self.open):
            self._upload(stream_id, self.open[stream_id])
        if self._unacknowledged and rnd.random() < 0.3:
            acknowledge(self.peer, *self._unacknowledged.pop(rnd.randrange(len(self._unacknowledged))))
        if self._settled and rnd.random() < 0.002:
            self._settled = 0
            self.peer.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: rnd.choice([1000, 30000, 65535, 100000])})
        if rnd.random() < 0.003:
            self.peer.ping(b"abcdefgh")

    def _ask(self) -> None:
        rnd, name = self.rnd, str(len(self.asked))
        stream_id = self.peer.get_next_available_stream_id()
        want, body = rnd.choice([0, 10, 3000, 90000]), rnd.choice([0, 0, 50, 70000])
        trailers = rnd.random() < 0.3
        path = rnd.choice(["/a", "/b"]) + str(rnd.randint(1, 30))
        fields = [(":method", "GET" if not body else "POST"), (":path", path), (":scheme", "http")]
        fields += [(":authority", "h"), ("x-want", str(want)), ("x-body", str(body)), ("x-repeat", path[2:] * 3)]
        fields += [("cookie", "c" * rnd.randint(1, 40)), ("x-id", name)]
        priority = {"priority_weight": 7, "priority_depends_on": 0} if rnd.random() < 0.3 else {}
        if not priority and rnd.random() < 0.1:
            fields.append(("x-huge", "q" * 30000))
        ended = not body and not trailers
        self.peer.send_headers(stream_id, fields, end_stream=ended, **priority)
        self.asked[name] = path
        if not body:
            self._safe.add(name)
        self.open[stream_id] = {"id": name, "want": want, "left": body, "trailers": trailers, "ended": ended, "got": 0}

    def _upload(self, stream_id: int, stream: dict[str, Any]) -> None:
        rnd, peer = self.rnd, self.peer
        if self.cancels and rnd.random() < 0.003:
            peer.reset_stream(stream_id, 8)
            self._end(stream_id, "cancelled")
        elif not stream["ended"] and rnd.random() < 0.3:
            window = min(peer.local_flow_control_window(stream_id), 16384)
            size = min(stream["left"], window)
            if size > 0:
                size = rnd.randint(1, size)
                peer.send_data(stream_id, bytes(size), pad_length=rnd.choice([None, 9]) if window > size + 10 else None)
                stream["left"] -= size
            elif not stream["left"] and stream["trailers"]:
                peer.send_headers(stream_id, [("x-sum", "abc")], end_stream=True)
                stream["ended"] = True
            elif not stream["left"] and window >= 0:
                peer.end_stream(stream_id)
                stream["ended"] = True
        elif rnd.random() < 0.02:
            acknowledge(peer, 0, stream_id)

    def receive(self, data: bytes) -> None:
        """Take bytes of the splice; whatever breaks the protocol raises here."""
        for event in self.peer.receive_data(data):
            stream_id = getattr(event, "stream_id", None) or 0
            if isinstance(event, events.SettingsAcknowledged):
                self._settled += 1
            elif isinstance(event, events.ConnectionTerminated):
                assert not event.error_code, event
                self.goaways.append(event)
            elif isinstance(event, events.DataReceived) and event.flow_controlled_length:
                self._unacknowledged.append((event.flow_controlled_length, stream_id))
            if stream_id in self.open:
                self._event(stream_id, self.open[stream_id], event)

    def _event(self, stream_id: int, stream: dict[str, Any], event: events.Event) -> None:
        if isinstance(event, events.ResponseReceived):
            fields = dict(event.headers)
            stream["from"] = fields.get("x-from", fields[":status"])
            assert fields.get("x-id", stream["id"]) == stream["id"]
            assert "x-from" in fields or "x-kdev-error" in fields
        elif isinstance(event, events.DataReceived):
            stream["got"] += len(event.data)
        elif isinstance(event, events.TrailersReceived):
            assert dict(event.headers)["x-trailer"] == stream["id"]
        elif isinstance(event, events.StreamEnded):
            assert stream["got"] == (0 if stream["from"] == "502" else stream["want"])
            self._end(stream_id, stream["from"])
        elif isinstance(event, events.StreamReset):
            self._end(stream_id, "reset")

    def _end(self, stream_id: int, outcome: str) -> None:
        self.done[self.open.pop(stream_id)["id"]] = outcome
