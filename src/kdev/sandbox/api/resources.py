"""The kinds the sandbox serves, as one table: discovery, paths, store and RBAC all read it."""

from dataclasses import dataclass, field

_READ = ("get", "list", "watch")
_ALL = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True)
class Subresource:
    """A path below an object.

    Attributes:
        name: Its last segment, ``log``.
        kind: The kind that goes over it.
        verbs: RBAC verbs it answers.
        group: API group of that kind, when it is not the parent's.
        version: Version of that kind, when it is not the parent's.
    """

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str | None = None
    version: str = "v1"


@dataclass(frozen=True, slots=True)
class Resource:
    """A served kind.

    Attributes:
        group: API group; empty for the core group.
        version: API version.
        plural: Name in paths.
        kind: Name in objects.
        namespaced: Whether objects live in namespaces.
        short_names: What kubectl accepts instead of the plural.
        categories: Groups such as ``all``.
        verbs: RBAC verbs it answers.
        subresources: Paths below its objects.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = _ALL
    subresources: tuple[Subresource, ...] = field(default=(), repr=False)

    @property
    def qualified(self) -> str:
        """The name in messages: ``deployments.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def api_version(self) -> str:
        """``apiVersion`` of its objects."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        """Singular name for discovery."""
        return self.kind.lower()

    def subresource(self, name: str) -> Subresource | None:
        """The subresource of that name."""
        return next((sub for sub in self.subresources if sub.name == name), None)


def _status(kind: str) -> Subresource:
    return Subresource("status", kind, ("get", "patch", "update"))


_STREAM = ("create", "get")
_SCALE = Subresource("scale", "Scale", ("get", "patch", "update"), group="autoscaling")
_RBAC = "rbac.authorization.k8s.io"
_AUTHORIZATION = "authorization.k8s.io"

PODS = Resource(
    "",
    "v1",
    "pods",
    "Pod",
    short_names=("po",),
    categories=("all",),
    subresources=(
        Subresource("attach", "PodAttachOptions", _STREAM),
        Subresource("ephemeralcontainers", "Pod", ("get", "patch", "update")),
        Subresource("eviction", "Eviction", ("create",), group="policy"),
        Subresource("exec", "PodExecOptions", _STREAM),
        Subresource("log", "Pod", ("get",)),
        Subresource("portforward", "PodPortForwardOptions", _STREAM),
        _status("Pod"),
    ),
)
NAMESPACES = Resource(
    "", "v1", "namespaces", "Namespace", False, short_names=("ns",), subresources=(_status("Namespace"),)
)
NODES = Resource("", "v1", "nodes", "Node", False, short_names=("no",), verbs=_READ)
SERVICES = Resource(
    "", "v1", "services", "Service", short_names=("svc",), categories=("all",), subresources=(_status("Service"),)
)
ENDPOINTS = Resource("", "v1", "endpoints", "Endpoints", short_names=("ep",), verbs=_READ)
EVENTS = Resource("", "v1", "events", "Event", short_names=("ev",))
CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", short_names=("cm",))
SECRETS = Resource("", "v1", "secrets", "Secret")
SERVICE_ACCOUNTS = Resource(
    "",
    "v1",
    "serviceaccounts",
    "ServiceAccount",
    short_names=("sa",),
    subresources=(Subresource("token", "TokenRequest", ("create",), group="authentication.k8s.io"),),
)
DEPLOYMENTS = Resource(
    "apps",
    "v1",
    "deployments",
    "Deployment",
    short_names=("deploy",),
    categories=("all",),
    subresources=(_SCALE, _status("Deployment")),
)
REPLICA_SETS = Resource(
    "apps",
    "v1",
    "replicasets",
    "ReplicaSet",
    short_names=("rs",),
    categories=("all",),
    subresources=(_SCALE, _status("ReplicaSet")),
)
ENDPOINT_SLICES = Resource("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice", verbs=_READ)
ROLES = Resource(_RBAC, "v1", "roles", "Role")
ROLE_BINDINGS = Resource(_RBAC, "v1", "rolebindings", "RoleBinding")
CLUSTER_ROLES = Resource(_RBAC, "v1", "clusterroles", "ClusterRole", namespaced=False)
CLUSTER_ROLE_BINDINGS = Resource(_RBAC, "v1", "clusterrolebindings", "ClusterRoleBinding", namespaced=False)
ACCESS_REVIEWS = Resource(
    _AUTHORIZATION, "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False, verbs=("create",)
)
RULES_REVIEWS = Resource(
    _AUTHORIZATION, "v1", "selfsubjectrulesreviews", "SelfSubjectRulesReview", False, verbs=("create",)
)
SUBJECT_REVIEWS = Resource(
    "authentication.k8s.io", "v1", "selfsubjectreviews", "SelfSubjectReview", False, verbs=("create",)
)
LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease")

ALL = (
    NAMESPACES,
    NODES,
    PODS,
    SERVICES,
    ENDPOINTS,
    EVENTS,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    DEPLOYMENTS,
    REPLICA_SETS,
    ENDPOINT_SLICES,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    ACCESS_REVIEWS,
    RULES_REVIEWS,
    SUBJECT_REVIEWS,
    LEASES,
)
"""Every served kind."""

REVIEWS = (ACCESS_REVIEWS, RULES_REVIEWS, SUBJECT_REVIEWS)
"""Kinds that are asked and answered, and never stored."""

BY_PATH = {(resource.group, resource.version, resource.plural): resource for resource in ALL}
"""The table as a request's path asks for it."""


def group_versions() -> list[tuple[str, str]]:
    """The served groups and their versions, the core group first."""
    return list(dict.fromkeys((resource.group, resource.version) for resource in ALL))
