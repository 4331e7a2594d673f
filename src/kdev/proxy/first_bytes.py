"""The beginning of a connection, until its first bytes tell the protocol.

The application is dialled at once, and heard at once: in many protocols the server speaks first, and its greeting
says that this is not HTTP/1, where only the client can begin.
"""

import asyncio
from enum import Enum

from kdev.proxy.connection import Connection
from kdev.proxy.context import Http2Factory
from kdev.proxy.http1.head import METHODS
from kdev.proxy.http1_route import HEAD_PATIENCE, Http1Route
from kdev.proxy.matched import match_connection
from kdev.proxy.mirroring import ConnectionCopy
from kdev.proxy.raw import RawRoute
from kdev.proxy.raw_stealing import StealingRoute
from kdev.proxy.upstream import PodConnection, UpstreamConnection
from kdev.tunnel.messages import Mode

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What an HTTP/2 client begins with (RFC 9113, section 3.4)."""

_SETTINGS_HEAD = b"\x04\x00\x00\x00\x00\x00"
"""Type, flags and stream of a server's first frame, behind its length of three bytes (RFC 9113, section 6.5)."""


class Spoken(Enum):
    """What the client's first bytes are."""

    HTTP1 = "HTTP/1"
    HTTP2 = "HTTP/2"
    OTHER = "anything else"
    UNKNOWN = "too little to tell"


def recognise(data: bytes) -> Spoken:
    """Tell the protocol from a client's first bytes; UNKNOWN asks for more of them."""
    if data.startswith(PREFACE):
        return Spoken.HTTP2
    if PREFACE.startswith(data):
        return Spoken.UNKNOWN
    method, ended, _ = data.partition(b" ")
    if ended:
        return Spoken.HTTP1 if method in METHODS else Spoken.OTHER
    return Spoken.UNKNOWN if any(known.startswith(method) for known in METHODS) else Spoken.OTHER


def announces_http2(data: bytes) -> bool:
    """Whether a server's first bytes are the SETTINGS with which every HTTP/2 server begins."""
    return data[3:9] == _SETTINGS_HEAD


class FirstBytes:
    """The first route of every connection."""

    def __init__(self, connection: Connection, http2: Http2Factory) -> None:
        self._connection = connection
        self._http2 = http2
        self._from_client = b""
        self._from_pod = b""
        self._patience: asyncio.TimerHandle | None = None
        self._client_ended = False
        self._pod: PodConnection | None = connection.connect_pod(self)

    # ---- from the client

    def from_client(self, data: bytes) -> None:
        """Look at what has come so far."""
        self._from_client += data
        spoken = recognise(self._from_client)
        if spoken is Spoken.HTTP1 and not self._from_pod:
            self._stop_patience()
            Http1Route(self._connection, self._pod).from_client(self._from_client)
        elif spoken is Spoken.HTTP2:
            self._stop_patience()
            self._hand_over()
        elif spoken is not Spoken.UNKNOWN:
            self._go_raw()
        elif self._patience is None:
            self._patience = asyncio.get_running_loop().call_later(HEAD_PATIENCE, self._go_raw)

    def client_ended(self) -> None:
        """Nothing more will tell the protocol."""
        self._client_ended = True
        self._go_raw()

    def client_lost(self, _exc: Exception | None) -> None:
        """It is over."""
        self._stop_patience()

    @property
    def idle(self) -> bool:
        """Whether nobody has said anything."""
        return not (self._from_client or self._from_pod)

    def drain(self) -> None:
        """A connection on which nothing was said is left alone; its route asks whether to drain."""

    # ---- from the pod

    def received(self, _upstream: UpstreamConnection, data: bytes) -> None:
        """The server speaks first: that is not HTTP/1; only HTTP/2's first frame has to wait for the client's."""
        self._from_pod += data
        if not announces_http2(self._from_pod):
            self._go_raw()

    def accepted(self, _upstream: UpstreamConnection) -> None:
        """The application is there; HTTP/2 may have waited for it."""
        if recognise(self._from_client) is Spoken.HTTP2:
            self._hand_over()

    def ended(self, _upstream: UpstreamConnection) -> bool:
        """The application has nothing to say."""
        self._go_raw()
        return self._connection.route.ended(_upstream)

    def lost(self, upstream: UpstreamConnection, _exc: Exception | None) -> None:
        """The application refuses: so does this connection, unless the process may stand in for it."""
        self._connection.leave(upstream, orderly=True)
        self._pod = None
        session = self._connection.context.current()
        if session is None or session.mode is not Mode.STEAL:
            self._connection.reset()

    # ---- on to the route

    def _hand_over(self) -> None:
        connection, pod = self._connection, self._pod
        if pod is None:
            connection.reset()
        elif not pod.connected:
            connection.gate.shut(self)
        else:
            connection.gate.open(self)
            self._http2(connection.hand_over(pod, self._from_client, self._from_pod))

    def _go_raw(self) -> None:
        self._stop_patience()
        connection = self._connection
        pod = self._pod or connection.connect_pod(self)
        silent = self._client_ended and not self._from_client  # a health probe, which belongs to the pod
        matched = None if silent else match_connection(connection.context.current(), connection.port)
        if matched is not None and matched.session.mode is Mode.STEAL:
            StealingRoute(connection, pod, matched).begin(self._from_client, self._from_pod)
        else:
            copy = None if matched is None else ConnectionCopy(matched)
            route = RawRoute(connection, pod, copy)
            if self._from_pod:
                connection.client.write(self._from_pod)
            if self._from_client:
                route.from_client(self._from_client)
        if self._client_ended:
            connection.route.client_ended()

    def _stop_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
