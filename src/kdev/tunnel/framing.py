"""Messages as bytes: each one JSON, preceded by its length in four bytes. No I/O."""

import struct
from typing import Generic, TypeVar

import msgspec

from kdev.tunnel.messages import Message
from kdev.tunnel.yamux.protocol_error import LocalProtocolError, RemoteProtocolError

MESSAGE_LIMIT = 1024 * 1024
"""Bytes of a message. The largest tells of the target's pod, whose annotations Kubernetes bounds to 256 KiB in all
(apimachinery, ``TotalAnnotationSizeLimitB``), labels and containers on top."""

_LENGTH = struct.Struct("!I")

Received = TypeVar("Received", bound=Message)


def encode_message(message: Message) -> bytes:
    """A message as it goes on the wire.

    Raises:
        LocalProtocolError: It is larger than the other end takes.
    """
    body = msgspec.json.encode(message)
    if len(body) > MESSAGE_LIMIT:
        raise LocalProtocolError(f"a {type(message).__name__} message of {len(body)} bytes")
    return _LENGTH.pack(len(body)) + body


class MessageReader(Generic[Received]):
    """Takes bytes in any pieces and tells the messages.

    Args:
        union: The messages that may come: ``FromLaptop`` or ``FromAgent``.
    """

    def __init__(self, union: object) -> None:
        self._decoder: msgspec.json.Decoder[Received] = msgspec.json.Decoder(union)
        self._partial = bytearray()

    @property
    def inside(self) -> bool:
        """Whether a message has begun and is not complete."""
        return bool(self._partial)

    def feed(self, data: bytes) -> list[Received]:
        """The messages that are complete now.

        Raises:
            RemoteProtocolError: One is too long, of an unknown type, or not what its type says.
        """
        partial = self._partial
        partial += data
        messages: list[Received] = []
        position = 0
        while len(partial) - position >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(partial, position)
            if length > MESSAGE_LIMIT:
                raise RemoteProtocolError(f"a message of {length} bytes, where at most {MESSAGE_LIMIT} are taken")
            end = position + _LENGTH.size + length
            if end > len(partial):
                break
            messages.append(self._decode(bytes(partial[end - length : end])))
            position = end
        del partial[:position]
        return messages

    def _decode(self, body: bytes) -> Received:
        try:
            return self._decoder.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            begin = body[:80].decode(errors="replace")
            raise RemoteProtocolError(f"a message that is not understood ({error}): {begin}") from error
