"""What the server serves, told as /api and /apis: group by group for old clients, all at once for current ones."""

from typing import Any, Final

from kdev.sandbox.api.bootstrap import VERSION
from kdev.sandbox.api.resources import ALL, Resource, Subresource, group_versions
from kdev.sandbox.interface import Object

AGGREGATED: Final = ("apidiscovery.k8s.io", "APIGroupDiscoveryList")
"""Group and kind of the aggregated form, as an Accept header asks for it; v2 and v2beta1 differ in nothing else."""


def version() -> Object:
    """The answer of /version."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    build = {"gitCommit": "", "gitTreeState": "clean", "buildDate": "1970-01-01T00:00:00Z", "goVersion": ""}
    return {"major": major, "minor": minor, "gitVersion": VERSION, "compiler": "", "platform": "linux/amd64"} | build


def at(segments: list[str]) -> Object | None:
    """The answer of a path below /api or /apis, in the form of one document per group and version."""
    match segments:
        case ["api"]:
            return core_versions()
        case ["api", version]:
            return resources("", version)
        case ["apis"]:
            return groups()
        case ["apis", name]:
            return group(name)
        case ["apis", name, version]:
            return resources(name, version)
        case _:
            return None


def core_versions() -> Object:
    """The answer of /api."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups() -> Object:
    """The answer of /apis."""
    listed = [_group(group, version) for group, version in group_versions() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def group(name: str) -> Object | None:
    """The answer of /apis/NAME."""
    found = next((_group(group, version) for group, version in group_versions() if group == name and group), None)
    return {"kind": "APIGroup", "apiVersion": "v1"} | found if found else None


def resources(group: str, version: str) -> Object | None:
    """The answer of /api/v1 or /apis/GROUP/VERSION."""
    served = [resource for resource in ALL if (resource.group, resource.version) == (group, version)]
    if not served:
        return None
    entries = [entry for resource in served for entry in _entries(resource)]
    group_version = f"{group}/{version}" if group else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": entries}


def aggregated(api_version: str, *, core: bool) -> Object:
    """The aggregated answer of /api or /apis."""
    wanted = [(group, version) for group, version in group_versions() if bool(group) is not core]
    return {
        "kind": AGGREGATED[1],
        "apiVersion": f"{AGGREGATED[0]}/{api_version}",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group, "creationTimestamp": None} if group else {"creationTimestamp": None},
                "versions": [
                    {
                        "version": version,
                        "freshness": "Current",
                        "resources": [
                            _aggregated(item) for item in ALL if (item.group, item.version) == (group, version)
                        ],
                    }
                ],
            }
            for group, version in wanted
        ],
    }


def _group(group: str, version: str) -> Object:
    entry = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [entry], "preferredVersion": entry}


def _entries(resource: Resource) -> list[Object]:
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return [entry, *(_subresource(resource, sub) for sub in resource.subresources)]


def _subresource(resource: Resource, sub: Subresource) -> Object:
    entry = {
        "name": f"{resource.plural}/{sub.name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": sub.kind,
        "verbs": list(sub.verbs),
    }
    return entry | ({"group": sub.group, "version": sub.version} if sub.group is not None else {})


def _aggregated(resource: Resource) -> Object:
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": {"group": resource.group, "version": resource.version, "kind": resource.kind},
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(resource.verbs),
        "subresources": [
            {
                "subresource": sub.name,
                "responseKind": {
                    "group": resource.group if sub.group is None else sub.group,
                    "version": sub.version,
                    "kind": sub.kind,
                },
                "verbs": list(sub.verbs),
            }
            for sub in resource.subresources
        ],
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    return entry
