"""The pieces of Envoy's configuration (v3 API, as JSON) that its inbound and outbound sides share."""

from enum import Enum

from kdev.sandbox.interface import Object
from kdev.sandbox.mesh.shape import CONFIGURATION_DIRECTORY, TRUST_DOMAIN

_TYPE = "type.googleapis.com/envoy"
CERTIFICATE_FILE = "certificate.json"
ROOT_FILE = "root.json"

NEVER = "0s"
"""As a timeout: none. A developer stops at breakpoints, and Istio sets none either."""


class Alpn(Enum):
    """What a client sidecar offers in its ClientHello, by which the server tells HTTP from bytes.

    None is the name of a real protocol, and servers here select none: a selected one would settle HTTP/1 against
    HTTP/2, which the server finds out from the first bytes instead. Istio's proxies settle it by ``istio-h2`` and
    its kin through a filter that upstream Envoy does not have.
    """

    HTTP = ("istio-http", "istio")
    TCP = ("istio",)


def typed(kind: str, **fields: object) -> Object:
    """A typed extension configuration."""
    return {"@type": f"{_TYPE}.{kind}", **fields}


def from_file(name: str) -> Object:
    """A configuration source: the file, and whatever is renamed over it later."""
    return {"path_config_source": {"path": f"{CONFIGURATION_DIRECTORY}/{name}"}, "resource_api_version": "V3"}


def socket_address(address: str, port: int) -> Object:
    """An address to listen on or to dial."""
    return {"socket_address": {"address": address, "port_value": port}}


def resources(kind: str, *of_kind: Object) -> Object:
    """A discovery response, as Envoy reads it from a file."""
    return {"resources": [typed(kind, **resource) for resource in of_kind]}


def tcp_proxy(prefix: str, cluster: str) -> Object:
    """The network filter that moves bytes."""
    config = typed("extensions.filters.network.tcp_proxy.v3.TcpProxy", stat_prefix=prefix, cluster=cluster)
    return {"name": "envoy.filters.network.tcp_proxy", "typed_config": config}


def http_connection_manager(prefix: str, cluster: str, retry_policy: Object, **fields: object) -> Object:
    """The network filter that understands HTTP, routing all of it to one cluster."""
    route = {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": NEVER, "retry_policy": retry_policy}}
    router = typed("extensions.filters.http.router.v3.Router")
    config = typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=prefix,
        route_config={
            "name": prefix,
            # The cluster comes from another file, which may be read later.
            "validate_clusters": False,
            "virtual_hosts": [{"name": prefix, "domains": ["*"], "routes": [route]}],
        },
        http_filters=[{"name": "envoy.filters.http.router", "typed_config": router}],
        upgrade_configs=[{"upgrade_type": "websocket"}],
        stream_idle_timeout=NEVER,
        normalize_path=True,
        **fields,
    )
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": config}


def downstream_protocol() -> Object:
    """Cluster options: call the upstream with the protocol that the caller spoke."""
    options = typed(
        "extensions.upstreams.http.v3.HttpProtocolOptions",
        use_downstream_protocol_config={"http_protocol_options": {}, "http2_protocol_options": {}},
    )
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}


def server_tls() -> Object:
    """A transport socket that wants a client certificate of this mesh."""
    return _transport_socket("DownstreamTlsContext", _common_tls(), require_client_certificate=True)


def client_tls(alpn: Alpn, server_name: str) -> Object:
    """A transport socket that shows the workload's certificate."""
    return _transport_socket(
        "UpstreamTlsContext", _common_tls() | {"alpn_protocols": list(alpn.value)}, sni=server_name
    )


def _transport_socket(kind: str, common: Object, **fields: object) -> Object:
    config = typed(f"extensions.transport_sockets.tls.v3.{kind}", common_tls_context=common, **fields)
    return {"name": "envoy.transport_sockets.tls", "typed_config": config}


def _common_tls() -> Object:
    ours = {"san_type": "URI", "matcher": {"prefix": f"spiffe://{TRUST_DOMAIN}/"}}
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificate_sds_secret_configs": [{"name": "default", "sds_config": from_file(CERTIFICATE_FILE)}],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": [ours]},
            "validation_context_sds_secret_config": {"name": "ROOTCA", "sds_config": from_file(ROOT_FILE)},
        },
    }
