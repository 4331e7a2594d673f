"""A sidecar's inbound side: port 15006, STRICT. Only TLS finds a filter chain; plaintext is refused."""

from collections.abc import Mapping

from kdev.sandbox.interface import Object
from kdev.sandbox.mesh.envoy_parts import (
    Alpn,
    downstream_protocol,
    http_connection_manager,
    server_tls,
    socket_address,
    tcp_proxy,
    typed,
)
from kdev.sandbox.mesh.protocols import PortProtocol
from kdev.sandbox.mesh.shape import INBOUND_PORT, INBOUND_SOURCE

PASSTHROUGH = "InboundPassthroughCluster"

_RETRIES = {"retry_on": "reset-before-request", "num_retries": 2}
"""Istio's for inbound routes."""

_LISTENER_FILTERS = "extensions.filters.listener"


def inbound_listener(ports: Mapping[int, PortProtocol]) -> Object:
    """The listener.

    Args:
        ports: The pod's ports that services name; others are told apart by what the caller's sidecar offers.
    """
    chains = []
    for port, protocol in sorted(ports.items()):
        if protocol is not PortProtocol.AUTO:
            chains.append(_chain(_cluster_name(port), protocol, destination_port=port))
    return {
        "name": "virtualInbound",
        "traffic_direction": "INBOUND",
        "address": socket_address("0.0.0.0", INBOUND_PORT),  # noqa: S104 - inside a pod's network namespace
        "listener_filters": [
            _listener_filter("original_dst", "OriginalDst"),
            _listener_filter("tls_inspector", "TlsInspector"),
        ],
        "filter_chains": [
            *chains,
            _chain(PASSTHROUGH, PortProtocol.HTTP, application_protocols=[Alpn.HTTP.value[0]]),
            _chain(PASSTHROUGH, PortProtocol.TCP),
        ],
    }


def inbound_clusters(ports: Mapping[int, PortProtocol]) -> list[Object]:
    """Where the chains lead: to the address that the caller meant, from 127.0.0.6."""
    names = [_cluster_name(port) for port, kind in sorted(ports.items()) if kind is not PortProtocol.AUTO]
    return [_cluster(name) for name in (*names, PASSTHROUGH)]


def _chain(cluster: str, protocol: PortProtocol, **match: object) -> Object:
    prefix = f"inbound_{cluster}"
    if protocol is PortProtocol.HTTP:
        identity = {
            "forward_client_cert_details": "APPEND_FORWARD",
            "set_current_client_cert_details": {"subject": True, "uri": True, "dns": True},
        }
        network_filter = http_connection_manager(prefix, cluster, _RETRIES, **identity)
    else:
        network_filter = tcp_proxy(prefix, cluster)
    return {
        "name": f"{cluster}-{protocol.value}",
        "filter_chain_match": {"transport_protocol": "tls", **match},
        "transport_socket": server_tls(),
        "filters": [network_filter],
    }


def _cluster(name: str) -> Object:
    return {
        "name": name,
        "type": "ORIGINAL_DST",
        "lb_policy": "CLUSTER_PROVIDED",
        "connect_timeout": "10s",
        "upstream_bind_config": {"source_address": {"address": str(INBOUND_SOURCE), "port_value": 0}},
        "typed_extension_protocol_options": downstream_protocol(),
    }


def _cluster_name(port: int) -> str:
    return f"inbound|{port}||"


def _listener_filter(name: str, kind: str) -> Object:
    return {"name": f"envoy.filters.listener.{name}", "typed_config": typed(f"{_LISTENER_FILTERS}.{name}.v3.{kind}")}
