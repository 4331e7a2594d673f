"""What both ends of a handshake have in common: the line, the messages, and the bounds. No I/O."""

import secrets
import struct

import msgspec
from nacl.signing import SigningKey

from kdev.errors import AgentFailure
from kdev.tunnel.handshake.signing import KEY_SIZE, NONCE_SIZE
from kdev.tunnel.messages import PROTOCOL_VERSION, Message, Refusal

MESSAGE_LIMIT = 4096
"""Bytes of a message: a refusal names an owner and quotes little; nothing else needs 400."""

_MAGIC = b"kdev-tunnel/"
_LINE_LIMIT = len(_MAGIC) + 8
_LENGTH = struct.Struct("!H")


class Hello(Message, frozen=True, kw_only=True):
    """The laptop says which session it wants to join, and as whom."""

    session: str
    key: bytes
    nonce: bytes


class Challenge(Message, frozen=True, kw_only=True):
    """The agent proves its key, and asks the laptop to."""

    key: bytes
    nonce: bytes
    signature: bytes


class Proof(Message, frozen=True, kw_only=True):
    """The laptop proves its key."""

    signature: bytes


class Welcome(Message, frozen=True, kw_only=True):
    """The agent is convinced: what follows is the tunnel."""


_decode = msgspec.json.Decoder(Hello | Challenge | Proof | Welcome | Refusal).decode


class Handshake:
    """What both ends have in common: bytes in pieces become a line and messages, each of which has its turn.

    After each call send ``data_to_send``, also when it raised: the other end is told why.

    Attributes:
        done: Whether both ends are convinced.
        peer_key: The other end's public key, 32 bytes, once it was proved.
        rest: Bytes that came after the handshake and belong to the tunnel.
    """

    def __init__(self, key: SigningKey) -> None:
        self.done = False
        self.peer_key = b""
        self.rest = b""
        self._key = key
        self._nonce = secrets.token_bytes(NONCE_SIZE)
        self._buffer = b""
        self._out = b""
        self._line_seen = False

    def data_to_send(self) -> bytes:
        """What waits to be sent, which then waits no more."""
        data, self._out = self._out, b""
        return data

    def receive_data(self, data: bytes) -> None:
        """Take bytes as they arrived, in any pieces.

        Raises:
            AgentFailure: The other end is not what it should be, or says no.
        """
        self._buffer += data
        if not self._line_seen:
            self._line_seen = self._take_line()
        while self._line_seen and not self.done and (message := self._take_message()) is not None:
            self._message_received(message)
        if self.done:
            self.rest, self._buffer = self._buffer, b""

    def _take_line(self) -> bool:
        line, newline, _ = self._buffer[:_LINE_LIMIT].partition(b"\n")
        magic = line[: len(_MAGIC)]
        version = line[len(_MAGIC) :]
        complete = bool(newline)
        if magic != _MAGIC[: len(magic)] or (complete and not version.isdigit()) or len(line) == _LINE_LIMIT:
            raise self._stranger(repr(self._buffer[:40]))
        if complete:
            self._buffer = self._buffer[len(line) + 1 :]
            self._line_received(int(version))
        return complete

    def _take_message(self) -> Message | None:
        if len(self._buffer) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer)
        if length > MESSAGE_LIMIT:
            raise self._stranger(f"a message of {length} bytes")
        end = _LENGTH.size + length
        if len(self._buffer) < end:
            return None
        body, self._buffer = self._buffer[_LENGTH.size : end], self._buffer[end:]
        try:
            message: Message = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise self._stranger(str(error)) from error
        return message

    def _send_line(self) -> None:
        self._out += _MAGIC + str(PROTOCOL_VERSION).encode() + b"\n"

    def _send(self, message: Message) -> None:
        body = msgspec.json.encode(message)
        self._out += _LENGTH.pack(len(body)) + body

    def _check_sizes(self, message: Hello | Challenge) -> None:
        if len(message.key) != KEY_SIZE or len(message.nonce) != NONCE_SIZE:
            raise self._stranger(f"a key of {len(message.key)} and a nonce of {len(message.nonce)} bytes")

    def closed(self) -> AgentFailure:
        """What it means that the other end closed the connection, or fell silent, before the handshake was done."""
        raise NotImplementedError

    def _line_received(self, version: int) -> None:
        raise NotImplementedError

    def _message_received(self, message: Message) -> None:
        raise NotImplementedError

    def _stranger(self, seen: str) -> AgentFailure:
        """What it means that the other end does not speak this protocol."""
        raise NotImplementedError
