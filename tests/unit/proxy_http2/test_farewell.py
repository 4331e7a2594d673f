from hypothesis import given
from hypothesis import strategies as st

from kdev.proxy.http2.farewell import FAREWELL, Farewell
from kdev.proxy.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    HEADERS,
    PING,
    frame,
    settings,
)

CONVERSATION = [
    settings({}),
    frame(HEADERS, END_HEADERS, 1, b"\x88"),
    frame(DATA, 0, 1, bytes(20)),
    frame(HEADERS, 0, 3, b"\x88") + frame(CONTINUATION, 0, 3) + frame(CONTINUATION, END_HEADERS, 3, b"\x88"),
    frame(DATA, 1, 1),
    frame(PING, 0, 0, bytes(8)),
]
"""Between these, and nowhere else, a frame may be put."""


@given(st.lists(st.integers(1, 40), max_size=40), st.integers(0, 40))
def test_the_goaway_stands_between_two_frames(cuts: list[int], moment: int) -> None:
    """However the pod's bytes are cut, and whenever it is to be said, the GOAWAY breaks no frame and no block."""
    farewell, rest, out = Farewell(), b"".join(CONVERSATION), b""
    for place, cut in enumerate([*cuts, len(rest)]):
        if place == min(moment, len(cuts)):
            out += farewell.say()
        out += farewell.receive(rest[:cut])
        rest = rest[cut:]
    boundaries = {b"".join(CONVERSATION[:count]) for count in range(1, len(CONVERSATION) + 1)}
    before, said, after = out.partition(FAREWELL)
    assert before + after == b"".join(CONVERSATION)
    assert before in boundaries
    assert said or before == b"".join(CONVERSATION)


def test_a_server_that_does_not_speak_http2_gets_no_frame_between_its_words() -> None:
    """Where the pod's bytes are no frames, they stay as they are."""
    farewell = Farewell()
    assert farewell.receive(b"HTTP/1.1 400 Bad Request\r\n\r\n") == b"HTTP/1.1 400 Bad Request\r\n\r\n"
    assert farewell.say() + farewell.receive(bytes(100)) == bytes(100)


def test_it_is_said_once() -> None:
    """A second request to say it changes nothing."""
    farewell = Farewell()
    farewell.receive(settings({}))
    assert farewell.say() == FAREWELL
    assert farewell.say() == b""
