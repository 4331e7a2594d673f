"""RBAC: which rules a user has, and whether one of them allows a request.

After k8s.io/kubernetes/plugin/pkg/auth/authorizer/rbac.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from kdev.sandbox.api import statuses
from kdev.sandbox.api.authentication import User
from kdev.sandbox.api.requests import RequestInfo
from kdev.sandbox.api.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES, ROLE_BINDINGS, ROLES
from kdev.sandbox.api.statuses import Refusal
from kdev.sandbox.api.store import Store
from kdev.sandbox.interface import Object


@dataclass(frozen=True, slots=True)
class Attributes:
    """What RBAC decides about.

    Attributes:
        verb: RBAC verb.
        group: API group.
        resource: Plural, with subresource: ``pods/log``.
        namespace: Empty at cluster scope.
        name: Empty for collections.
        path: A path that is no resource, ``/healthz``; then only ``verb`` counts besides it.
    """

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @classmethod
    def of(cls, info: RequestInfo) -> "Attributes":
        """The attributes of a request; a namespace itself counts as within it, as in Kubernetes."""
        namespace = info.name if info.resource.plural == "namespaces" else info.namespace
        return cls(info.verb, info.resource.group, info.rbac_resource, namespace, info.name)


class Authorizer:
    """Answers from the roles and bindings in the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def allows(self, user: User, wanted: Attributes) -> bool:
        """Whether the user may."""
        return user.is_admin or any(_covers(rule, wanted) for rule in self.rules(user, wanted.namespace))

    def require(self, user: User, info: RequestInfo) -> None:
        """Refuse a request that the user may not make.

        Raises:
            Refusal: 403 in the words of a real cluster.
        """
        wanted = Attributes.of(info)
        if not self.allows(user, wanted):
            where = f'in the namespace "{wanted.namespace}"' if wanted.namespace else "at the cluster scope"
            raise statuses.forbidden(
                info.resource,
                info.name,
                f'User "{user.name}" cannot {info.verb} resource "{info.rbac_resource}" '
                f'in API group "{info.resource.group}" {where}',
            )

    def require_path(self, user: User, verb: str, path: str) -> None:
        """Refuse a request for a path that is no resource.

        Raises:
            Refusal: 403.
        """
        if not self.allows(user, Attributes(verb, path=path)):
            raise Refusal(403, "Forbidden", f'forbidden: User "{user.name}" cannot {verb} path "{path}"')

    def rules(self, user: User, namespace: str) -> Iterator[Object]:
        """The rules that hold for a user in a namespace; at cluster scope for the empty one."""
        if user.is_admin:
            yield {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
            yield {"verbs": ["*"], "nonResourceURLs": ["*"]}
        for binding in self._store.list(CLUSTER_ROLE_BINDINGS):
            if _binds(binding, user, ""):
                yield from self._rules_of(binding, "")
        for binding in self._store.list(ROLE_BINDINGS, namespace) if namespace else ():
            if _binds(binding, user, namespace):
                yield from self._rules_of(binding, namespace)

    def _rules_of(self, binding: Object, namespace: str) -> list[Object]:
        reference = binding["roleRef"]
        if reference["kind"] == "ClusterRole":
            role = self._store.find(CLUSTER_ROLES, "", reference["name"])
        else:
            role = self._store.find(ROLES, namespace, reference["name"])
        return (role or {}).get("rules") or []


def _binds(binding: Object, user: User, namespace: str) -> bool:
    for subject in binding.get("subjects") or ():
        match subject["kind"]:
            case "User" if subject["name"] == user.name:
                return True
            case "Group" if subject["name"] in user.groups:
                return True
            case "ServiceAccount":
                where = subject.get("namespace", namespace)
                if user.name == f"system:serviceaccount:{where}:{subject['name']}":
                    return True
    return False


def _covers(rule: Object, wanted: Attributes) -> bool:
    if not _has(rule.get("verbs"), wanted.verb):
        return False
    if wanted.path:
        return any(_path_covers(pattern, wanted.path) for pattern in rule.get("nonResourceURLs") or ())
    names = rule.get("resourceNames")
    return (
        _has(rule.get("apiGroups"), wanted.group)
        and _resource_covered(rule.get("resources") or (), wanted.resource)
        and (not names or wanted.name in names)
    )


def _has(values: list[str] | None, wanted: str) -> bool:
    return bool(values) and ("*" in (values or ()) or wanted in (values or ()))


def _resource_covered(resources: list[str] | tuple[str, ...], wanted: str) -> bool:
    _, slash, subresource = wanted.partition("/")
    return "*" in resources or wanted in resources or bool(slash and f"*/{subresource}" in resources)


def _path_covers(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("*") else path == pattern
