"""What a service's port speaks, by Istio's rules of protocol selection."""

from enum import Enum

from kdev.sandbox.interface import ServicePort

_HTTP = {"http", "http2", "grpc", "grpc-web", "kubernetes.io/h2c", "kubernetes.io/ws"}
_TCP = {"tcp", "tls", "https", "mongo", "mysql", "redis", "kubernetes.io/wss"}


class PortProtocol(Enum):
    """How the proxies treat a port; AUTO looks at the first bytes of each connection."""

    HTTP = "http"
    TCP = "tcp"
    AUTO = "auto"


def protocol_of(port: ServicePort) -> PortProtocol:
    """By ``appProtocol``, else by the port's name up to its first dash."""
    said = (port.app_protocol or port.name.split("-", 1)[0]).lower()
    if port.name.lower().startswith("grpc-web"):
        said = "grpc-web"
    if said in _HTTP:
        return PortProtocol.HTTP
    return PortProtocol.TCP if said in _TCP else PortProtocol.AUTO
