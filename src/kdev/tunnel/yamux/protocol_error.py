"""Who broke the protocol is in the type: a fault of this end is a bug, a fault of the other ends the tunnel."""


class ProtocolError(Exception):
    """The rules of a protocol inside the tunnel were broken."""


class LocalProtocolError(ProtocolError):
    """This end asked for something that the protocol does not allow now."""


class RemoteProtocolError(ProtocolError):
    """The other end sent something that the protocol does not allow, or more than the limits."""
