"""A sidecar's outbound side: port 15001, one listener and one cluster for each port of each service."""

from collections.abc import Collection, Iterator, Sequence

from kdev.sandbox.dns import DOMAIN
from kdev.sandbox.interface import Object, Service, ServicePort
from kdev.sandbox.mesh.envoy_parts import (
    Alpn,
    client_tls,
    downstream_protocol,
    http_connection_manager,
    socket_address,
    tcp_proxy,
    typed,
)
from kdev.sandbox.mesh.protocols import PortProtocol, protocol_of
from kdev.sandbox.mesh.shape import OUTBOUND_PORT

PASSTHROUGH = "PassthroughCluster"

DETECTION_TIMEOUT = "1s"
"""For a caller on an undeclared port to say something; then its connection is bytes. Istio's default waits for ever."""

_RETRIES = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "retriable_status_codes": [503],
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": typed("extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
        }
    ],
    "host_selection_retry_max_attempts": 5,
}
"""Istio's default for HTTP routes (pilot networking/core/route/retry)."""

_NO_RETRIES: Object = {}
"""A policy that names no condition to retry on."""

_TLS_MODE = "tlsMode"


def cluster_name(service: Service, port: ServicePort) -> str:
    """Istio's name for a service's port."""
    return f"outbound|{port.port}||{_host(service)}"


def outbound_listeners(services: Sequence[Service]) -> Iterator[Object]:
    """The capturing listener, and the ones it hands connections to by their original destination."""
    yield {
        "name": "virtualOutbound",
        "traffic_direction": "OUTBOUND",
        "address": socket_address("0.0.0.0", OUTBOUND_PORT),  # noqa: S104 - inside a pod's network namespace
        "use_original_dst": True,
        "filter_chains": [{"filters": [tcp_proxy(PASSTHROUGH, PASSTHROUGH)]}],
    }
    for service, port in _tcp_ports(services):
        if service.cluster_ip:
            yield _service_listener(service, port)


def outbound_clusters(services: Sequence[Service], meshed: Collection[str]) -> Iterator[Object]:
    """The clusters with their endpoints.

    Endpoints stand in the clusters, not in files of their own: Envoy takes an inotify instance for each file that it
    follows, and Linux gives a user 128 in all, which a few sandboxes of a few services would exhaust.

    Args:
        services: All services.
        meshed: Addresses of pods with a sidecar; others are called in clear (Istio's automatic mTLS).
    """
    yield {"name": PASSTHROUGH, "type": "ORIGINAL_DST", "lb_policy": "CLUSTER_PROVIDED", "connect_timeout": "10s"}
    for service, port in _tcp_ports(services):
        listed = [_endpoint(address, target, meshed=address in meshed) for address, target in port.endpoints]
        for alpn, name in _variants(service, port).items():
            assignment = {"cluster_name": name, "endpoints": [{"lb_endpoints": listed}]}
            yield _service_cluster(service, port, alpn, name) | {"load_assignment": assignment}


def _variants(service: Service, port: ServicePort) -> dict[Alpn, str]:
    """A port whose protocol is found out per connection needs a cluster for each possibility."""
    name = cluster_name(service, port)
    match protocol_of(port):
        case PortProtocol.HTTP:
            return {Alpn.HTTP: name}
        case PortProtocol.TCP:
            return {Alpn.TCP: name}
        case PortProtocol.AUTO:
            return {Alpn.HTTP: name, Alpn.TCP: f"{name}|tcp"}


def _service_listener(service: Service, port: ServicePort) -> Object:
    variants = _variants(service, port)
    listener: Object = {
        "name": f"{service.cluster_ip}_{port.port}",
        "traffic_direction": "OUTBOUND",
        "address": socket_address(service.cluster_ip, port.port),
        "bind_to_port": False,
    }
    retries = _RETRIES if service.retries else _NO_RETRIES
    filters = {
        Alpn.HTTP: lambda name: http_connection_manager(f"outbound_{name}", name, retries),
        Alpn.TCP: lambda name: tcp_proxy(f"outbound_{name}", name),
    }
    chains = {alpn: {"filters": [filters[alpn](name)]} for alpn, name in variants.items()}
    if len(chains) == 1:
        return listener | {"filter_chains": list(chains.values())}
    http = {"application_protocols": ["http/1.0", "http/1.1", "h2c"]}
    inspector = typed("extensions.filters.listener.http_inspector.v3.HttpInspector")
    return listener | {
        "listener_filters": [{"name": "envoy.filters.listener.http_inspector", "typed_config": inspector}],
        "listener_filters_timeout": DETECTION_TIMEOUT,
        "continue_on_listener_filters_timeout": True,
        "filter_chains": [{"filter_chain_match": http, **chains[Alpn.HTTP]}],
        "default_filter_chain": chains[Alpn.TCP],
    }


def _service_cluster(service: Service, port: ServicePort, alpn: Alpn, name: str) -> Object:
    tls = client_tls(alpn, f"outbound_.{port.port}_._.{_host(service)}")
    clear = {
        "name": "envoy.transport_sockets.raw_buffer",
        "typed_config": typed("extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
    }
    cluster: Object = {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "10s",
        "lb_policy": "LEAST_REQUEST",
        "transport_socket_matches": [
            {"name": "tlsMode-istio", "match": {_TLS_MODE: "istio"}, "transport_socket": tls},
            {"name": "tlsMode-disabled", "match": {}, "transport_socket": clear},
        ],
    }
    return cluster | ({"typed_extension_protocol_options": downstream_protocol()} if alpn is Alpn.HTTP else {})


def _endpoint(address: str, port: int, *, meshed: bool) -> Object:
    endpoint: Object = {"endpoint": {"address": socket_address(address, port)}}
    if meshed:
        endpoint["metadata"] = {"filter_metadata": {"envoy.transport_socket_match": {_TLS_MODE: "istio"}}}
    return endpoint


def _tcp_ports(services: Sequence[Service]) -> Iterator[tuple[Service, ServicePort]]:
    for service in services:
        for port in service.ports:
            if port.protocol == "TCP":
                yield service, port


def _host(service: Service) -> str:
    return f"{service.name}.{service.namespace}.svc.{DOMAIN}"
