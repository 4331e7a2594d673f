"""The server's side of WebSocket framing (RFC 6455) without I/O: bytes in, messages out.

Written out because these connections change their protocol in the middle of an HTTP connection, carry 100 MB bodies
and must not wake a task for each message. No extensions are ever negotiated.
"""

import base64
import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MAX_MESSAGE: Final = 32 << 20
"""Bytes of one message; the Go servers behind exec and port-forward read messages of any size, clients send 32 KiB."""
_MAX_CONTROL: Final = 125


class Opcode(IntEnum):
    """Frame types (RFC 6455, section 5.2)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class ProtocolError(Exception):
    """The client broke the protocol; the connection cannot go on."""


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message, or a control frame."""

    opcode: Opcode
    payload: bytes


def accept_key(key: str) -> str:
    """``Sec-WebSocket-Accept`` for a client's key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def header(opcode: Opcode, length: int) -> bytes:
    """The head of an unmasked, final frame of a payload's length."""
    first = 0x80 | opcode
    if length < 126:
        return bytes((first, length))
    if length < 1 << 16:
        return bytes((first, 126)) + length.to_bytes(2, "big")
    return bytes((first, 127)) + length.to_bytes(8, "big")


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """A whole unmasked frame."""
    return header(opcode, len(payload)) + payload


class Decoder:
    """Cuts the client's bytes into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._fragments = bytearray()
        self._opcode: Opcode | None = None

    def feed(self, data: bytes) -> list[Message]:
        """Take bytes in any chunks.

        Raises:
            ProtocolError: The client broke the protocol.
        """
        self._buffer += data
        messages = []
        while (step := self._next_frame()) is not None:
            final, opcode, payload = step
            if opcode >= Opcode.CLOSE:
                messages.append(Message(opcode, payload))
            elif (whole := self._assemble(opcode, payload, final=final)) is not None:
                messages.append(whole)
        return messages

    def _next_frame(self) -> tuple[bool, Opcode, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 6:
            return None
        if buffer[0] & 0x70 or not buffer[1] & 0x80:
            raise ProtocolError("reserved bits are set, or the frame is not masked")
        length, start = buffer[1] & 0x7F, 2
        if length >= 126:
            start = 4 if length == 126 else 10
            if len(buffer) < start:
                return None
            length = int.from_bytes(buffer[2:start], "big")
        opcode = _opcode(buffer[0] & 0x0F)
        if length > (_MAX_CONTROL if opcode >= Opcode.CLOSE else _MAX_MESSAGE):
            raise ProtocolError(f"a frame of {length} bytes is too long")
        end = start + 4 + length
        if len(buffer) < end:
            return None
        payload = _unmask(bytes(buffer[start : start + 4]), bytes(buffer[start + 4 : end]))
        final = bool(buffer[0] & 0x80)
        del buffer[:end]
        return final, opcode, payload

    def _assemble(self, opcode: Opcode, payload: bytes, *, final: bool) -> Message | None:
        if (opcode is Opcode.CONTINUATION) is (self._opcode is None):
            raise ProtocolError("a continuation without a beginning, or a beginning within a message")
        if final and self._opcode is None:
            return Message(opcode, payload)
        self._opcode = self._opcode or opcode
        self._fragments += payload
        if len(self._fragments) > _MAX_MESSAGE:
            raise ProtocolError("the message is too long")
        if not final:
            return None
        message = Message(self._opcode, bytes(self._fragments))
        self._opcode = None
        self._fragments.clear()
        return message


def _opcode(number: int) -> Opcode:
    try:
        return Opcode(number)
    except ValueError as error:
        raise ProtocolError(f"opcode {number} is reserved") from error


def _unmask(mask: bytes, data: bytes) -> bytes:
    """XOR with the repeated mask, as one long integer: about 1 GB/s, which a loop over bytes is not."""
    if mask == b"\0\0\0\0":
        return data
    length = len(data)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")
