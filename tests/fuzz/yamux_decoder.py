"""Fuzz target: what the other end of a tunnel may send, to the decoder of yamux frames.

The unit tests run it on inputs that hypothesis makes. For a campaign guided by coverage, with atheris installed:
``python -m tests.fuzz.yamux_decoder [a folder for the corpus]``.
"""

import sys

from kdev.tunnel.yamux.connection import Connection, Role
from kdev.tunnel.yamux.limits import Limits
from kdev.tunnel.yamux.protocol_error import RemoteProtocolError

LIMITS = Limits(streams=8, replies=4096)


def decode(pieces: list[bytes]) -> None:
    """Give pieces to a server with a stream of its own; only ``RemoteProtocolError`` may come of it."""
    connection = Connection(Role.SERVER, LIMITS)
    connection.open()
    for piece in pieces:
        try:
            connection.receive_data(piece)
        except RemoteProtocolError:
            break
        assert 0 <= connection.unread <= LIMITS.buffered
        assert len(connection.streams) <= LIMITS.streams
        assert all(stream.receive_window >= 0 for stream in connection.streams.values())
    assert connection.data_to_send()


def _one_input(data: bytes) -> None:
    size = data[0] + 1 if data else 1
    decode([data[start : start + size] for start in range(1, len(data), size)])


def main() -> None:
    """Fuzz until something breaks."""
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, _one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
