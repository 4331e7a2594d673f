"""One HTTP/2 connection of a client's with two places behind it: the pod, and the developer's process.

The pod's frames pass verbatim, and its streams are not even tracked: a stolen stream is one that was taken out. What
keeps that possible is told to both sides in their SETTINGS, the only frames that are rewritten: no dynamic header
table (so that a header block means the same wherever it goes) and frames of 16 KiB at most. Without I/O:
``from_client`` and ``from_pod`` take bytes, ``to_client`` and ``to_pod`` collect them.
"""

from collections import deque
from collections.abc import Callable
from typing import Final

from kdev.proxy.http2.client_window import ClientWindow
from kdev.proxy.http2.frames import (
    ACK,
    DATA,
    DEFAULT_WINDOW,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FRAME_LIMIT,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEAD_SIZE,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    LARGEST,
    MAX_FRAME_SIZE,
    NO_ERROR,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    Frame,
    HeaderBlock,
    Http2Error,
    goaway,
    header_frames,
    number,
    parse_settings,
    read_header_block,
    reset,
    settings,
    unpack_head,
    window_update,
)
from kdev.proxy.http2.header_blocks import StatelessBlocks
from kdev.proxy.http2.header_fields import Fields, SizeUpdateMark
from kdev.proxy.http2.stolen_stream import LOOKED_AT
from kdev.proxy.http2.stolen_streams import Origins, StolenStreams
from kdev.proxy.interface import Current, Shadowing
from kdev.tunnel.messages import Mode

UNACKNOWLEDGED_LIMIT: Final = 100
"""SETTINGS frames that may wait for the other side's acknowledgement; more is a flood (CVE-2019-9515)."""

RECENT_POD_STREAMS: Final = 1000
"""The pod's last streams remembered, for those that its GOAWAY leaves out."""


class Router:
    """Routes the streams of one connection.

    Attributes:
        to_client: Bytes for the client; whoever writes them clears it, and only once ``ready`` is true.
        to_pod: Bytes for the pod; likewise.
        ready: Whether the pod's SETTINGS have come, before which the client must be sent nothing (RFC 9113, 3.4).
        stolen: The streams that are served elsewhere.
        goaway: The last stream that the client was told will be served; None while it was told nothing.
    """

    def __init__(self, port: int, current: Current, origins: Origins, clock: Callable[[], float]) -> None:
        self.to_client: list[bytes] = []
        self.to_pod: list[bytes] = []
        self.ready = False
        self.goaway: int | None = None
        self._window = ClientWindow(self.to_client)
        self._client_mark, self._pod_mark = SizeUpdateMark(), SizeUpdateMark()
        self.stolen = StolenStreams(port, self._window, self._client_mark, origins, clock)
        self._port, self._current = port, current
        self._session: Shadowing | None = None
        self._requests = StatelessBlocks(LOOKED_AT)
        self._answers = StatelessBlocks()
        self._client_rest = self._pod_rest = b""
        self._started = self._draining = False
        self._highest = self._highest_at_pod = 0
        self._recent_at_pod: deque[int] = deque(maxlen=RECENT_POD_STREAMS)
        self._client_initial = DEFAULT_WINDOW
        self._client_settings: deque[int] = deque()
        self._pod_settings: deque[int | None] = deque()

    @property
    def held_bytes(self) -> int:
        """The pod's DATA that waits for the client's window."""
        return self._window.held_bytes

    @property
    def idle(self) -> bool:
        """Whether nothing is left to be said to the client but what the pod says."""
        return not self.stolen and not self._window.holding

    # ---- from the client

    def from_client(self, data: bytes) -> None:
        """Take bytes of the client.

        Raises:
            Http2Error: It broke the protocol; the connection must end.
        """
        data, self._client_rest = self._client_rest + data, b""
        if self._started:
            self._frames_of_client(data)
        elif data.startswith(PREFACE):
            self._started = True
            self.to_pod.append(PREFACE)
            self._frames_of_client(data[len(PREFACE) :])
        elif PREFACE.startswith(data):
            self._client_rest = data
        else:
            raise Http2Error(PROTOCOL_ERROR, "no HTTP/2 connection preface")

    def _frames_of_client(self, data: bytes) -> None:
        offset, run, end = 0, 0, len(data)
        while end - offset >= HEAD_SIZE:
            high, low, kind, flags, stream_id = unpack_head(data, offset)
            stream_id &= LARGEST
            stop = offset + HEAD_SIZE + (high << 8 | low)
            if stop - offset > FRAME_LIMIT + HEAD_SIZE:
                raise Http2Error(FRAME_SIZE_ERROR, "a frame above SETTINGS_MAX_FRAME_SIZE")
            if stop > end:
                break
            if kind == HEADERS:
                block = read_header_block(data, offset)
                if block is None:
                    break
                stop = block.stop
                instead = self._headers(stream_id, flags, block)
            elif stream_id and kind != RST_STREAM and stream_id not in self.stolen and not self._not_for_pod(stream_id):
                instead = None
            else:
                instead = self._other(Frame(kind, flags, stream_id, data[offset:stop]))
            if instead is not None:
                if offset > run:
                    self.to_pod.append(data[run:offset])
                if instead:
                    self.to_pod.append(instead)
                run = stop
            offset = stop
        if offset > run:
            self.to_pod.append(data[run:offset])
        self._client_rest = data[offset:]

    def _headers(self, stream_id: int, flags: int, block: HeaderBlock) -> bytes | None:
        """Take a request or trailers; returns what the pod gets instead, or None if it gets the same."""
        session = self._current()
        if session is not self._session:
            self._session = session
            self._requests.want(LOOKED_AT if session is None else session.matcher.wanted | LOOKED_AT)
        fields, fragment = self._requests.read(block.fragment)
        if stream_id > self._highest:
            self._highest = stream_id
            if self.goaway is not None and stream_id > self.goaway:
                return b""
            if self._steal(session, stream_id, flags, fields, fragment):
                return b""
            self._highest_at_pod = stream_id
            self._recent_at_pod.append(stream_id)
        elif stream_id in self.stolen:
            self.stolen.trailers(stream_id, fragment)
            return b""
        elif self._not_for_pod(stream_id):
            return b""
        fragment = self._pod_mark.apply(fragment)
        if fragment is block.fragment:
            return None
        return header_frames(HEADERS, flags, stream_id, fragment, block.prefix)

    def _steal(self, session: Shadowing | None, stream_id: int, flags: int, fields: Fields, block: bytes) -> bool:
        if session is None:
            return False
        if session.mode is not Mode.STEAL:
            # Copies are made on connections of another kind: let the client open one.
            self.drain()
            return False
        # CONNECT, the extended one too, is a tunnel to what stands behind the pod (RFC 9113, section 8.5).
        if fields.get(b":method") == b"CONNECT" or not session.matcher.match_fields(fields, self._port):
            return False
        end = bool(flags & END_STREAM)
        return session.sampled() and self.stolen.steal(stream_id, session, fields, block, end=end)

    def _not_for_pod(self, stream_id: int) -> bool:
        """Whether the stream was stolen and has ended: the pod would take its identifier for an idle one."""
        return self.stolen.buried(stream_id) or self._highest_at_pod < stream_id <= self.stolen.highest

    def _other(self, frame: Frame) -> bytes | None:
        """Take a frame that is not HEADERS and may not simply pass; returns as ``_headers``."""
        kind, flags, stream_id, data = frame
        if stream_id in self.stolen:
            self.stolen.receive(frame)
            return b""
        if stream_id and self._not_for_pod(stream_id):
            if kind == DATA and len(data) > HEAD_SIZE:
                self.to_client.append(window_update(0, len(data) - HEAD_SIZE))
            return None if kind == PRIORITY else b""
        if kind == RST_STREAM:
            self._window.forget(stream_id)
        elif kind == WINDOW_UPDATE:
            return self._client_credit(number(data, HEAD_SIZE))
        elif kind == SETTINGS:
            return self._settings_of_client(flags, data[HEAD_SIZE:])
        return None

    def _client_credit(self, increment: int) -> bytes | None:
        if not increment:
            return None
        for_pod = self._window.credit(increment)
        self.stolen.flush()
        if for_pod == increment:
            return None
        return window_update(0, for_pod) if for_pod else b""

    def _settings_of_client(self, flags: int, payload: bytes) -> bytes | None:
        if flags & ACK:
            self._pod_mark.due = True
            initial = self._pod_settings.popleft() if self._pod_settings else None
            if initial is not None:
                self.stolen.upload_initial_changed(initial)
            return None
        values = parse_settings(payload)
        last = self._client_settings[-1] if self._client_settings else self._client_initial
        self._client_settings.append(values.get(INITIAL_WINDOW_SIZE, last))
        if len(self._client_settings) > UNACKNOWLEDGED_LIMIT:
            raise Http2Error(ENHANCE_YOUR_CALM, "too many SETTINGS at a time")
        self._apply_download_initial()
        values[HEADER_TABLE_SIZE] = 0
        if MAX_FRAME_SIZE in values:
            values[MAX_FRAME_SIZE] = FRAME_LIMIT
        return settings(values)

    def _apply_download_initial(self) -> None:
        """A smaller window counts as soon as the client names it, a larger one when it has read the acknowledgement.

        Clients differ in when they apply what they have sent; nghttp2 resets a stream whose data came too early.
        """
        initial = min(self._client_initial, *self._client_settings, LARGEST)
        if initial != self.stolen.download_initial:
            self.stolen.download_initial_changed(initial)

    # ---- from the pod

    def from_pod(self, data: bytes) -> None:
        """Take bytes of the pod.

        Raises:
            Http2Error: It broke the protocol; the connection must end.
        """
        if self._pod_rest:
            data = self._pod_rest + data
        offset = run = 0
        end, window = len(data), self._window
        while end - offset >= HEAD_SIZE:
            high, low, kind, flags, stream_id = unpack_head(data, offset)
            length = high << 8 | low
            stop = offset + HEAD_SIZE + length
            if length > FRAME_LIMIT:
                raise Http2Error(FRAME_SIZE_ERROR, "the pod's frame is above SETTINGS_MAX_FRAME_SIZE")
            if stop > end:
                break
            if kind == DATA and length <= window.room and not window.holding:
                window.room -= length
                offset = stop
                continue
            block = None
            if kind in {HEADERS, PUSH_PROMISE}:
                block = read_header_block(data, offset)
                if block is None:
                    break
                stop = block.stop
            if self._passes(kind, stream_id, length):
                offset = stop
                continue
            if offset > run:
                self.to_client.append(data[run:offset])
            self._from_pod(Frame(kind, flags, stream_id, data[offset:stop]), block)
            offset = run = stop
        if offset > run:
            self.to_client.append(data[run:offset])
        self._pod_rest = data[offset:]

    def _passes(self, kind: int, stream_id: int, length: int) -> bool:
        """Whether a frame of the pod goes to the client as it is, with all that was before it."""
        if kind == WINDOW_UPDATE:
            return True
        if kind in {SETTINGS, GOAWAY} or self._window.blocks(stream_id):
            return False
        if kind in {HEADERS, PUSH_PROMISE}:
            return self._answers.stateless and not self._client_mark.due
        return kind != DATA or not length

    def _from_pod(self, frame: Frame, block: HeaderBlock | None) -> None:
        kind, flags, stream_id, data = frame
        if kind == SETTINGS:
            return self._settings_of_pod(flags, data)
        if kind == GOAWAY:
            return self._goaway_of_pod(data)
        if block is not None:
            data = self._stateless(frame, block)
        if kind == DATA or self._window.blocks(stream_id):
            return self._window.hold(stream_id, len(data) - HEAD_SIZE if kind == DATA else 0, data)
        self.to_client.append(data)
        return None

    def _stateless(self, frame: Frame, block: HeaderBlock) -> bytes:
        fragment = block.fragment
        if not self._answers.stateless:
            fragment = self._answers.read(fragment)[1]
        fragment = self._client_mark.apply(fragment)
        if fragment is block.fragment:
            return frame.data
        return header_frames(frame.kind, frame.flags, frame.stream_id, fragment, block.prefix)

    def _settings_of_pod(self, flags: int, frame: bytes) -> None:
        if flags & ACK:
            self._acknowledged_by_pod(frame)
            return
        values = parse_settings(frame[HEAD_SIZE:])
        self._pod_settings.append(values.get(INITIAL_WINDOW_SIZE))
        if len(self._pod_settings) > UNACKNOWLEDGED_LIMIT:
            raise Http2Error(ENHANCE_YOUR_CALM, "too many SETTINGS at a time")
        values[HEADER_TABLE_SIZE] = 0
        if MAX_FRAME_SIZE in values:
            values[MAX_FRAME_SIZE] = FRAME_LIMIT
        if self.ready:
            self.to_client.append(settings(values))
        else:
            self.ready = True
            self.to_client.insert(0, settings(values))

    def _acknowledged_by_pod(self, frame: bytes) -> None:
        """Pass the acknowledgement on, behind the DATA that the pod sent before it."""
        self._client_mark.due = True
        if self._client_settings:
            self._client_initial = self._client_settings.popleft()
        if self._window.holding:
            self._window.hold(0, 0, frame)
        else:
            self.to_client.append(frame)
        self._apply_download_initial()

    def pod_ended(self) -> None:
        """The pod has closed its idle connection without a word: the client's next requests need another one."""
        if self.goaway is None:
            self._goaway_of_pod(goaway(self._highest_at_pod, NO_ERROR))

    def _goaway_of_pod(self, frame: bytes) -> None:
        """Tell the client, but not that it may repeat elsewhere what the developer's process has begun."""
        last_at_pod = number(frame, HEAD_SIZE)
        last = max(last_at_pod, self.stolen.highest)
        self.goaway = last if self.goaway is None else min(last, self.goaway)
        for stream_id in self._recent_at_pod:
            if last_at_pod < stream_id <= last:
                self.to_client.append(reset(stream_id, REFUSED_STREAM))
        self.to_client.append(goaway(last, number(frame, HEAD_SIZE + 4), frame[HEAD_SIZE + 8 :]))

    def drain(self) -> None:
        """Ask the client to open another connection for its next requests; those in flight are served."""
        if not self._draining:
            self._draining = True
            self.to_client.append(goaway(LARGEST, NO_ERROR))
