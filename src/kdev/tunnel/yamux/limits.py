"""What one end allows the other, each number with its reason."""

from dataclasses import dataclass

from kdev.tunnel.yamux.frames import INITIAL_WINDOW


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one connection; the defaults fit an agent that should stay below 40 MB.

    Attributes:
        streams: Streams open at once. An application behind the tap rarely keeps more than some hundred
            connections; beyond this, new streams are reset and their requests stay on the pod.
        unanswered: Streams opened here that the other end has not acknowledged: the reference implementation
            queues 256 and resets what comes beyond (its ``AcceptBacklog``).
        window: Bytes that the other end may send on a stream ahead of what is consumed. The protocol's initial
            256 KiB carries 5 MB/s over a round trip of 50 ms; a larger one is announced as the stream begins.
        buffered: Bytes received and not consumed over all streams; the stream whose data would exceed it is
            reset. 64 streams whose consumer has stopped altogether, at the default window.
        frame: Bytes of payload in a frame sent. Between two frames of a large transfer another stream has its
            turn: 64 KiB is 5 ms of a 100 Mbit/s line, and makes the header's twelve bytes vanish.
        replies: Bytes of acknowledgements, resets, window updates and ping answers waiting for a peer that asks
            but does not read.
    """

    streams: int = 4096
    unanswered: int = 256
    window: int = INITIAL_WINDOW
    buffered: int = 64 * INITIAL_WINDOW
    frame: int = 64 * 1024
    replies: int = 1024 * 1024

    def __post_init__(self) -> None:
        """Refuse a window below the one that the other end assumes."""
        if self.window < INITIAL_WINDOW:
            raise ValueError(f"a window of {self.window} bytes is below the protocol's initial {INITIAL_WINDOW}")
