from hpack import Encoder
from hypothesis import given, settings
from hypothesis import strategies as st

from kdev.proxy.http2 import frames
from kdev.proxy.http2.header_blocks import FieldList
from kdev.proxy.http2.read_along import RequestsReadAlong


class Recorder:
    """Keeps what it is told, with bodies joined."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def request(self, stream_id: int, fields: FieldList, *, end: bool) -> None:
        """As ``Reader``."""
        self.told.append(("request", stream_id, dict(fields)[b":path"], end))

    def follows(self, stream_id: int) -> bool:
        """As ``Reader``."""
        return stream_id != 5

    def body(self, stream_id: int, payload: bytes, *, end: bool) -> None:
        """As ``Reader``."""
        if self.told and self.told[-1][:2] == ("body", stream_id) and not self.told[-1][3]:
            payload = self.told.pop()[2] + payload  # type: ignore[operator]
        self.told.append(("body", stream_id, payload, end))

    def trailers(self, stream_id: int, fields: FieldList) -> None:
        """As ``Reader``."""
        self.told.append(("trailers", stream_id, dict(fields)))

    def cancelled(self, stream_id: int, code: int) -> None:
        """As ``Reader``."""
        self.told.append(("cancelled", stream_id, code))


def conversation() -> bytes:
    """What a client with a dynamic table sends: plain, padded, continued, with trailers, cancelled."""
    encoder = Encoder()

    def block(path: bytes) -> bytes:
        return encoder.encode([(b":method", b"POST"), (b":path", path), (b"x-same", b"again" * 20)])

    first, split = block(b"/1"), block(b"/3")
    return b"".join(
        [
            frames.PREFACE,
            frames.settings({3: 100}),
            frames.header_frames(frames.HEADERS, 0, 1, first),
            frames.frame(frames.DATA, frames.PADDED, 1, b"\x05" + b"a" * 30 + bytes(5)),
            frames.frame(frames.HEADERS, 0, 3, split[:10]),
            frames.frame(frames.CONTINUATION, frames.END_HEADERS, 3, split[10:]),
            frames.frame(frames.DATA, 0, 1, b"b" * 30),
            frames.frame(frames.DATA, frames.END_STREAM, 1),
            frames.header_frames(frames.HEADERS, 1, 3, encoder.encode([(b"x-sum", b"1")])),
            frames.header_frames(frames.HEADERS, frames.HAS_PRIORITY, 5, block(b"/5"), b"\0\0\0\0\7"),
            frames.frame(frames.DATA, 1, 5, bytes(100)),
            frames.header_frames(frames.HEADERS, 0, 7, block(b"/7")),
            frames.reset(7, frames.CANCEL),
        ]
    )


@given(st.lists(st.integers(1, 60), max_size=40))
@settings(max_examples=100)
def test_requests_are_told_however_their_bytes_are_cut(cuts: list[int]) -> None:
    """Heads, bodies, trailers and resets are told once each, whatever pieces they arrive in."""
    recorder, rest = Recorder(), conversation()
    reading = RequestsReadAlong(recorder)
    for cut in [*cuts, len(rest)]:
        reading.receive(rest[:cut])
        rest = rest[cut:]
    assert not reading.lost
    assert [item for item in recorder.told if item[0] != "body"] == [
        ("request", 1, b"/1", False),
        ("request", 3, b"/3", False),
        ("trailers", 3, {b"x-sum": b"1"}),
        ("request", 5, b"/5", False),
        ("request", 7, b"/7", False),
        ("cancelled", 7, frames.CANCEL),
    ]
    assert b"".join(item[2] for item in recorder.told if item[0] == "body") == b"a" * 30 + b"b" * 30  # type: ignore[misc]


@given(st.binary(max_size=300))
@settings(max_examples=100)
def test_garbage_ends_the_reading_and_nothing_else(data: bytes) -> None:
    """Whatever a client sends, reading along never raises."""
    reading = RequestsReadAlong(Recorder())
    reading.receive(frames.PREFACE + data)
    reading.receive(data)
