"""What an Envoy is started with: its admin port, its health port, and where everything else comes from."""

from kdev.sandbox.interface import Object
from kdev.sandbox.mesh.envoy_parts import from_file, http_connection_manager, socket_address
from kdev.sandbox.mesh.shape import ADMIN_PORT, HEALTH_PORT

LISTENERS_FILE = "listeners.json"
CLUSTERS_FILE = "clusters.json"

_ADMIN_CLUSTER = "admin"


def bootstrap(pod_name: str, namespace: str, ip: str) -> Object:
    """The bootstrap configuration of a pod's sidecar."""
    return {
        "node": {"id": f"sidecar~{ip}~{pod_name}.{namespace}~{namespace}.svc.cluster.local", "cluster": namespace},
        "admin": {"address": socket_address("127.0.0.1", ADMIN_PORT)},
        "dynamic_resources": {"lds_config": from_file(LISTENERS_FILE), "cds_config": from_file(CLUSTERS_FILE)},
        "static_resources": {"listeners": [_health_listener()], "clusters": [_admin_cluster()]},
    }


def _health_listener() -> Object:
    """/healthz/ready on a port that the rules do not capture: Envoy's own /ready, which waits for all configuration."""
    manager = http_connection_manager("agent", _ADMIN_CLUSTER, {})
    config = manager["typed_config"]
    to_admin = {"cluster": _ADMIN_CLUSTER, "prefix_rewrite": "/ready"}
    config["route_config"]["virtual_hosts"][0]["routes"] = [{"match": {"path": "/healthz/ready"}, "route": to_admin}]
    return {
        "name": "health",
        "address": socket_address("0.0.0.0", HEALTH_PORT),  # noqa: S104 - inside a pod's network namespace
        "filter_chains": [{"filters": [manager]}],
    }


def _admin_cluster() -> Object:
    endpoint = {"endpoint": {"address": socket_address("127.0.0.1", ADMIN_PORT)}}
    return {
        "name": _ADMIN_CLUSTER,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": _ADMIN_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }
