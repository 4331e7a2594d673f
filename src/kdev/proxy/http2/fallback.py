"""What to do for a stolen request whose server failed it: a pure decision, and the answers that kdev gives itself."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from kdev.proxy.http2.header_fields import encode_stateless

BAD_GATEWAY: Final = 502
GATEWAY_TIMEOUT: Final = 504
_GRPC_UNAVAILABLE: Final = b"14"


class Remedy(Enum):
    """What happens to a request whose server failed it."""

    AGAIN = auto()
    """It goes to the developer's process once more, on a connection that takes it."""
    POD = auto()
    """It goes to the pod, on a connection of kdev's own."""
    ANSWER = auto()
    """The caller is told by an answer of kdev's."""
    RESET = auto()
    """The answer had begun: the caller sees its stream reset."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """What is known of a failed request.

    Attributes:
        answered: Its answer had begun.
        kept: All of it so far is still at hand.
        unprocessed: The server cannot have acted on it.
        safe: Its method allows repeating it in any case.
        at_pod: It was the pod that failed it.
        worth_trying: The process is there, but would not take it on that connection.
    """

    answered: bool
    kept: bool
    unprocessed: bool
    safe: bool
    at_pod: bool
    worth_trying: bool


def remedy(mishap: Mishap) -> Remedy:
    """Decide; a request that may have been acted on is never sent twice unless its method is safe."""
    if mishap.answered:
        return Remedy.RESET
    if mishap.at_pod or not mishap.kept:
        return Remedy.ANSWER
    if not mishap.unprocessed:
        return Remedy.POD if mishap.safe else Remedy.ANSWER
    return Remedy.AGAIN if mishap.worth_trying else Remedy.POD


def error_block(status: int, cause: str, *, grpc: bool) -> bytes:
    """Make the header block of kdev's own answer: a status without content, or for gRPC a trailers-only UNAVAILABLE.

    Args:
        status: Of HTTP; gRPC's is 200 always.
        cause: For ``x-kdev-error``; one sentence in ASCII.
        grpc: Whether the caller speaks gRPC.
    """
    text = cause.encode("ascii", "replace")
    fields = [(b":status", b"%d" % status), (b"content-length", b"0")]
    if grpc:
        # https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: Trailers-Only
        fields = [(b":status", b"200"), (b"content-type", b"application/grpc")]
        fields += [(b"grpc-status", _GRPC_UNAVAILABLE), (b"grpc-message", b"kdev: " + text)]
    return encode_stateless([*fields, (b"x-kdev-error", text)])
