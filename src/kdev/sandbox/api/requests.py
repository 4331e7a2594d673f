"""What a request asks for: verb, resource, namespace, name and subresource, read from method, path and query.

The rules are those of apiserver's ``RequestInfoFactory``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from kdev.sandbox.api.resources import BY_PATH, NAMESPACES, Resource

_VERBS: Final = {"GET": "get", "HEAD": "get", "POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request for a resource.

    Attributes:
        verb: RBAC verb.
        resource: Which kind.
        namespace: Empty for cluster-scoped kinds and for a list over all namespaces.
        name: Empty for collections.
        subresource: Empty for the object itself.
    """

    verb: str
    resource: Resource
    namespace: str
    name: str
    subresource: str

    @property
    def rbac_resource(self) -> str:
        """The resource as RBAC rules name it: ``pods/log``."""
        return f"{self.resource.plural}/{self.subresource}" if self.subresource else self.resource.plural


def parse(method: str, path: str, query: Mapping[str, str]) -> RequestInfo | None:
    """Read a request's meaning; None when the path names no served resource."""
    segments = [segment for segment in path.split("/") if segment]
    if segments[:1] == ["api"] and len(segments) > 2:
        group, version, rest = "", segments[1], segments[2:]
    elif segments[:1] == ["apis"] and len(segments) > 3:
        group, version, rest = segments[1], segments[2], segments[3:]
    else:
        return None
    namespace = ""
    # /namespaces/N and its own subresources are about the namespace; anything longer is inside it.
    if rest[0] == "namespaces" and len(rest) > 2 and NAMESPACES.subresource(rest[2]) is None:
        namespace, rest = rest[1], rest[2:]
    resource = BY_PATH.get((group, version, rest[0]))
    if resource is None or len(rest) > 3 or (namespace and not resource.namespaced):
        return None
    name, subresource = [*rest[1:], "", ""][:2]
    if subresource and resource.subresource(subresource) is None:
        return None
    return RequestInfo(_verb(method, name, query), resource, namespace, name, subresource)


def _verb(method: str, name: str, query: Mapping[str, str]) -> str:
    verb = _VERBS.get(method, method.lower())
    if name:
        return verb
    if verb == "get":
        return "watch" if query.get("watch", "") in {"1", "true"} else "list"
    return "deletecollection" if verb == "delete" else verb
