"""The layout of a yamux frame: twelve bytes of header, and for a data frame as many bytes as its length says."""

import struct
from enum import IntEnum, IntFlag

HEADER = struct.Struct("!BBHII")
"""Version, type, flags, stream, length; network order (spec.md, "Framing")."""

VERSION = 0
SESSION = 0
"""The stream id that means the session itself."""

INITIAL_WINDOW = 256 * 1024
"""Bytes that each direction of a new stream may carry before any window update (spec.md, "Flow Control")."""

LARGEST_WINDOW = 0xFFFF_FFFF
"""The length field has 32 bits, and the reference implementation counts windows in as many."""


class FrameType(IntEnum):
    """What a frame is for (spec.md, "Type Field")."""

    DATA = 0
    WINDOW_UPDATE = 1
    PING = 2
    GO_AWAY = 3


class Flag(IntFlag):
    """spec.md, "Flag Field"."""

    SYN = 1
    ACK = 2
    FIN = 4
    RST = 8


KNOWN_FLAGS = int(Flag.SYN | Flag.ACK | Flag.FIN | Flag.RST)


class GoAwayCode(IntEnum):
    """Why a session ends (spec.md, "Session termination")."""

    NORMAL = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2


def encode(frame_type: int, flags: int, stream: int, length: int) -> bytes:
    """The header of a frame.

    Args:
        frame_type: A ``FrameType``.
        flags: ``Flag`` values or-ed together.
        stream: The stream's id, or ``SESSION``.
        length: Bytes of payload, window increment, opaque ping value, or ``GoAwayCode``.
    """
    return HEADER.pack(VERSION, frame_type, flags, stream, length)
