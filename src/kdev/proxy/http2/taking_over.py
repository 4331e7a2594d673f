"""Takes a connection over in the moment when HTTP/2 was recognised on it."""

from kdev.proxy.context import Handover
from kdev.proxy.http2.connection import Http2Connection
from kdev.proxy.http2.forwarding import ForwardedConnection
from kdev.proxy.http2.stealing import StealingConnection
from kdev.tunnel.messages import Mode


def take_over(handover: Handover) -> Http2Connection:
    """Serve the connection in the way that the session of this moment needs; an ``Http2Factory``."""
    session = handover.context.current()
    if session is not None and session.mode is Mode.STEAL:
        return StealingConnection(handover)
    return ForwardedConnection(handover)
