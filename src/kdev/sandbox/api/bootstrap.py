"""What a new cluster holds: its namespaces, one node, and the roles that every Kubernetes has.

The roles are those of k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac/bootstrappolicy, reduced to served kinds.
"""

import os
import platform
from ipaddress import IPv4Network
from typing import Final

from kdev.sandbox.api import resources
from kdev.sandbox.api.resources import (
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    ENDPOINT_SLICES,
    ENDPOINTS,
    NAMESPACES,
    NODES,
    SERVICES,
    Resource,
)
from kdev.sandbox.api.store import Store, timestamp
from kdev.sandbox.interface import Object

NODE_NAME: Final = "kdev-sandbox"
VERSION: Final = "v1.34.0"
API_PORT: Final = 6443
"""Where pods reach the API server on the node, as kubeadm has it."""

_API_META: Final = {
    "name": "kubernetes",
    "namespace": "default",
    "labels": {"component": "apiserver", "provider": "kubernetes"},
}

_READ: Final = ["get", "list", "watch"]
_WRITE: Final = ["create", "delete", "deletecollection", "patch", "update"]
_RBAC: Final = "rbac.authorization.k8s.io"
_DISCOVERY: Final = ["/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*"]
_HEALTH: Final = ["/healthz", "/livez", "/readyz", "/version", "/version/"]


def fill(store: Store, service_network: str, reached_at: tuple[str, int]) -> None:
    """Create all of it in an empty store; namespaces get their accounts from the namespace controller.

    Args:
        store: An empty one.
        service_network: Whose first address is the API server's, as in every cluster.
        reached_at: Address and port where pods reach the API server.
    """
    for name in ("default", "kube-node-lease", "kube-public", "kube-system"):
        store.create(NAMESPACES, namespace(name))
    store.create(NODES, _node())
    store.create(SERVICES, _api_service(service_network))
    store.create(ENDPOINTS, _api_endpoints(*reached_at))
    store.create(ENDPOINT_SLICES, _api_endpoint_slice(*reached_at))
    for name, rules in _ROLES.items():
        _create(store, CLUSTER_ROLES, name, {"rules": rules})
    for name, groups in _BINDINGS.items():
        _create(store, CLUSTER_ROLE_BINDINGS, name, _binding(name, groups))


def namespace(name: str) -> Object:
    """A namespace as it is once it has been defaulted."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}},
        "spec": {"finalizers": ["kubernetes"]},
        "status": {"phase": "Active"},
    }


def _api_service(network: str) -> Object:
    address = str(next(IPv4Network(network).hosts()))
    spec = {
        "type": "ClusterIP",
        "clusterIP": address,
        "clusterIPs": [address],
        "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": API_PORT}],
        "sessionAffinity": "None",
        "internalTrafficPolicy": "Cluster",
        "ipFamilies": ["IPv4"],
        "ipFamilyPolicy": "SingleStack",
    }
    return {"apiVersion": "v1", "kind": "Service", "metadata": _API_META, "spec": spec, "status": {"loadBalancer": {}}}


def _api_endpoints(address: str, port: int) -> Object:
    subset = {"addresses": [{"ip": address}], "ports": [{"name": "https", "port": port, "protocol": "TCP"}]}
    return {"apiVersion": "v1", "kind": "Endpoints", "metadata": _API_META, "subsets": [subset]}


def _api_endpoint_slice(address: str, port: int) -> Object:
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _API_META | {"labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
        "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
    }


def _create(store: Store, resource: Resource, name: str, rest: Object) -> None:
    meta = {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
    store.create(resource, {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta} | rest)


def _binding(role: str, groups: list[str]) -> Object:
    return {
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group} for group in groups],
    }


def _rule(group: str, names: list[str], verbs: list[str]) -> Object:
    return {"apiGroups": [group], "resources": names, "verbs": verbs}


def _namespaced(group: str, *, without: tuple[str, ...] = ()) -> list[str]:
    served = [item for item in resources.ALL if item.group == group and item.namespaced and item.plural not in without]
    below = [
        f"{item.plural}/{sub.name}" for item in served for sub in item.subresources if sub.name in {"scale", "log"}
    ]
    return [item.plural for item in served] + below


_STREAMS: Final = ["pods/attach", "pods/exec", "pods/portforward"]
_VIEW: Final = [
    _rule("", _namespaced("", without=("secrets",)), _READ),
    _rule("", ["namespaces"], _READ),
    _rule("apps", _namespaced("apps"), _READ),
    _rule("discovery.k8s.io", _namespaced("discovery.k8s.io"), _READ),
]
_EDIT: Final = [
    *_VIEW,
    _rule("", ["secrets", *_STREAMS], _READ),
    _rule("", _STREAMS, ["create"]),
    _rule("", ["pods/eviction", "serviceaccounts/token"], ["create"]),
    _rule("", ["pods", "services", "configmaps", "secrets", "serviceaccounts", "events"], _WRITE),
    _rule("apps", ["deployments", "deployments/scale", "replicasets", "replicasets/scale"], _WRITE),
]
_ROLES: Final[dict[str, list[Object]]] = {
    "cluster-admin": [
        {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]},
        {"nonResourceURLs": ["*"], "verbs": ["*"]},
    ],
    "view": _VIEW,
    "edit": _EDIT,
    "admin": [*_EDIT, _rule(_RBAC, ["roles", "rolebindings"], _READ + _WRITE)],
    "system:basic-user": [
        _rule("authorization.k8s.io", ["selfsubjectaccessreviews", "selfsubjectrulesreviews"], ["create"]),
        _rule("authentication.k8s.io", ["selfsubjectreviews"], ["create"]),
    ],
    "system:discovery": [{"nonResourceURLs": _DISCOVERY + _HEALTH, "verbs": ["get"]}],
    "system:public-info-viewer": [{"nonResourceURLs": _HEALTH, "verbs": ["get"]}],
}
_BINDINGS: Final = {
    "cluster-admin": ["system:masters"],
    "system:basic-user": ["system:authenticated"],
    "system:discovery": ["system:authenticated"],
    "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
}


def _node() -> Object:
    now = timestamp()
    cpus = str(os.cpu_count() or 1)
    memory = f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') // 1024}Ki"
    ready = {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "kubelet is posting ready status",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }
    architecture = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    capacity = {"cpu": cpus, "memory": memory, "pods": "110"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE_NAME,
            "labels": {
                "kubernetes.io/arch": architecture,
                "kubernetes.io/hostname": NODE_NAME,
                "kubernetes.io/os": "linux",
                "node-role.kubernetes.io/control-plane": "",
            },
        },
        "spec": {},
        "status": {
            "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}, {"type": "Hostname", "address": NODE_NAME}],
            "capacity": capacity,
            "allocatable": dict(capacity),
            "conditions": [ready],
            "nodeInfo": {
                "architecture": architecture,
                "operatingSystem": "linux",
                "osImage": "kdev sandbox",
                "kernelVersion": platform.release(),
                "kubeletVersion": VERSION,
                "containerRuntimeVersion": "kdev://0",
                "kubeProxyVersion": "",
                "machineID": "",
                "systemUUID": "",
                "bootID": "",
            },
        },
    }
