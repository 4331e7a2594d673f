"""WebSocket framing against the ``websockets`` library as the client."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame as ClientFrame
from websockets.frames import Opcode as ClientOpcode
from websockets.protocol import OPEN
from websockets.uri import parse_uri

from kdev.sandbox.api.streaming import websocket
from kdev.sandbox.api.streaming.websocket import Decoder, Message, Opcode, ProtocolError


def _client() -> ClientProtocol:
    return ClientProtocol(parse_uri("ws://sandbox/"), state=OPEN, max_size=None)


@settings(max_examples=40)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(1, 99))
def test_a_client_s_messages_arrive_whatever_the_chunks(payloads: list[bytes], size: int):
    """Masked messages of any size, cut anywhere, come out as they were sent."""
    client = _client()
    for payload in payloads:
        client.send_binary(payload)
    sent = b"".join(client.data_to_send())
    decoder = Decoder()
    messages = [message for at in range(0, len(sent), size) for message in decoder.feed(sent[at : at + size])]
    assert messages == [Message(Opcode.BINARY, payload) for payload in payloads]


@pytest.mark.parametrize("length", [0, 125, 126, 65535, 65536])
def test_our_frames_are_read_by_a_client(length: int):
    """Each of the three length forms is understood."""
    client = _client()
    client.receive_data(websocket.frame(Opcode.BINARY, b"x" * length))
    (frame,) = client.events_received()
    assert frame == ClientFrame(ClientOpcode.BINARY, b"x" * length)


def test_fragments_are_joined_around_a_ping():
    """A control frame may stand between the fragments of a message."""
    client = _client()
    client.send_binary(b"ab", fin=False)
    client.send_ping(b"?")
    client.send_continuation(b"cd", fin=True)
    assert Decoder().feed(b"".join(client.data_to_send())) == [
        Message(Opcode.PING, b"?"),
        Message(Opcode.BINARY, b"abcd"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        b"\x82\x01x0000",  # not masked
        b"\xc2\x80\0\0\0\0",  # a reserved bit
        b"\x83\x80\0\0\0\0",  # a reserved opcode
        b"\x80\x80\0\0\0\0",  # a continuation of nothing
        b"\x82\xff" + (1 << 40).to_bytes(8, "big"),  # a terabyte
        b"\x89\xfe\x00\x7e",  # a ping that is too long
    ],
)
def test_broken_frames_are_refused(data: bytes):
    """What RFC 6455 forbids, or would not fit in memory, ends the connection."""
    with pytest.raises(ProtocolError):
        Decoder().feed(data + bytes(8))


def test_accept_key_is_the_rfc_s():
    """The example of RFC 6455, section 1.3."""
    assert websocket.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
