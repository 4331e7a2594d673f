"""A whole connection of another protocol than HTTP for the developer's process, or for the pod when there is none."""

from kdev.proxy.connection import Connection
from kdev.proxy.falling_back import KEPT, Kept
from kdev.proxy.interface import Outcome
from kdev.proxy.matched import Matched
from kdev.proxy.raw import RawRoute
from kdev.proxy.upstream import PodConnection, UpstreamConnection


class StealingRoute:
    """Until the process says its first byte: the pod's connection and what the client has said are kept."""

    idle = False  # the process may be about to speak

    def __init__(self, connection: Connection, pod: PodConnection, matched: Matched) -> None:
        self._connection = connection
        self._pod = pod
        self._matched = matched
        self._kept = Kept()
        self._client_ended = False
        self._pod_lost = False
        self._from_pod = b""
        pod.listener = self
        connection.route = self
        self._stream: UpstreamConnection | None = None

    def begin(self, from_client: bytes, from_pod: bytes) -> None:
        """Open the stream; what the pod has said already waits."""
        self._from_pod = from_pod
        self._stream = self._connection.open_stream(self._matched.session, self)
        if self._stream is None:
            self._kept.add(from_client)
            self._fall_back("no process to send it to")
        else:
            self._hold_pod()
            if from_client:
                self.from_client(from_client)

    def from_client(self, data: bytes) -> None:
        """Forward and keep; more than can be kept waits until the process has accepted."""
        stream = self._stream
        assert stream is not None, "this route is left when it has no stream"
        if self._kept.size + len(data) > KEPT:
            if stream.connected:
                self._kept.forget()
            else:
                self._connection.gate.shut(self)
        self._kept.add(data)
        stream.write(data)

    def client_ended(self) -> None:
        """Forward the end."""
        self._client_ended = True
        if self._stream is not None:
            self._stream.end()

    def client_lost(self, _exc: Exception | None) -> None:
        """It is over before it was decided."""
        self._matched.report(Outcome.FAILED, "the client went away")

    def drain(self) -> None:
        """There is no word for it in an unread protocol: it runs on to its end."""

    def received(self, upstream: UpstreamConnection, data: bytes) -> None:
        """The process has answered: the connection is its own. What the pod says has to wait."""
        if upstream is self._pod:
            self._from_pod += data
            self._hold_pod()
            return
        self._matched.report(Outcome.STOLEN)
        self._connection.gate.open(self)
        self._connection.leave(self._pod, orderly=False)
        RawRoute(self._connection, upstream).received(upstream, data)
        if self._client_ended:
            self._connection.route.client_ended()

    def accepted(self, upstream: UpstreamConnection) -> None:
        """The process has taken the connection: more may follow than can be kept."""
        if upstream is self._stream:
            self._connection.gate.open(self)
        else:
            self._hold_pod()

    def ended(self, upstream: UpstreamConnection) -> bool:
        """An end without a word is a connection that the process did not want, or had nothing to say to."""
        return upstream is self._pod

    def lost(self, upstream: UpstreamConnection, _exc: Exception | None) -> None:
        """Without the process the pod gets the connection, if the process cannot have seen any of it."""
        if upstream is self._pod:
            self._connection.leave(upstream, orderly=True)
            self._pod_lost = True
            return
        unseen = not upstream.connected or upstream.delivered == 0
        self._connection.leave(upstream, orderly=True)
        self._stream = None
        if unseen and self._kept.complete:
            self._fall_back("the process refused the connection")
        else:
            self._matched.report(Outcome.FAILED, "the process did not answer")
            self._connection.reset()

    def _hold_pod(self) -> None:
        if self._pod.gate is not None:
            self._pod.gate.shut(self)

    def _fall_back(self, cause: str) -> None:
        if self._pod_lost:
            self._matched.report(Outcome.FAILED, f"{cause}, and so did the pod")
            self._connection.reset()
            return
        self._matched.report(Outcome.FELL_BACK, cause)
        self._connection.gate.open(self)
        route = RawRoute(self._connection, self._pod)
        if self._from_pod:
            self._connection.client.write(self._from_pod)
        if self._pod.gate is not None:
            self._pod.gate.open(self)
        if kept := self._kept.take():
            route.from_client(kept)
        if self._client_ended:
            route.client_ended()
