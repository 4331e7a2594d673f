"""Strategic merge patch: merge patch that knows which lists are sets of named things.

Rules: community/contributors/devel/sig-api-machinery/strategic-merge-patch.md. The merge keys are those of the
struct tags (``patchStrategy:"merge" patchMergeKey:"name"``) in k8s.io/api for the kinds served here.
"""

import copy
from typing import Any, Final

from kdev.sandbox.api.statuses import bad_request

_MERGE_KEYS: Final = {
    "addresses": "type",
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "resourceClaims": "name",
    "secrets": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""List fields that merge, and by which key. A field's name means the same list wherever it occurs in these kinds;
``ports`` alone differs (a container's by containerPort, a service's by port)."""

_MERGED_VALUES: Final = frozenset({"finalizers"})
"""Lists of plain values that merge as sets."""


def merge(target: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """Apply a strategic merge patch to an object; the result is new.

    Raises:
        Refusal: 400, a list's element lacks its merge key or a directive is unknown.
    """
    directive = patch.get("$patch")
    if directive == "replace":
        return {key: copy.deepcopy(value) for key, value in patch.items() if key != "$patch"}
    if directive == "delete":
        return {}
    if directive not in {None, "merge"}:
        raise bad_request(f"Unknown $patch type: {directive}")
    retained = patch.get("$retainKeys")
    result = {key: value for key, value in target.items() if retained is None or key in retained}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            result[field] = [item for item in result.get(field) or () if item not in value]
        elif not key.startswith("$"):
            _merge_field(result, key, value, patch.get(f"$setElementOrder/{key}"))
    return result


def _merge_field(result: dict[str, Any], key: str, value: Any, order: list[Any] | None) -> None:
    current = result.get(key)
    if value is None:
        result.pop(key, None)
    elif isinstance(value, dict):
        result[key] = merge(current if isinstance(current, dict) else {}, value)
    elif isinstance(value, list) and key in _MERGED_VALUES:
        result[key] = list(dict.fromkeys([*(current or []), *value]))
    elif isinstance(value, list) and (merge_key := _merge_key(key, current, value)):
        result[key] = _merge_list(current or [], value, key, merge_key, order)
    else:
        result[key] = copy.deepcopy(value)


def _merge_key(key: str, current: Any, value: list[Any]) -> str | None:
    if key != "ports":
        return _MERGE_KEYS.get(key)
    ports = [*value, *(current or [])]
    return "containerPort" if any("containerPort" in port for port in ports if isinstance(port, dict)) else "port"


def _merge_list(
    current: list[Any], patch: list[Any], field: str, merge_key: str, order: list[Any] | None
) -> list[dict[str, Any]]:
    if {"$patch": "replace"} in patch:
        return [copy.deepcopy(item) for item in patch if item != {"$patch": "replace"}]
    merged = {item.get(merge_key): item for item in current}
    for item in patch:
        if not isinstance(item, dict) or merge_key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {merge_key} (in {field})")
        if item.get("$patch") == "delete":
            merged.pop(item[merge_key], None)
        else:
            merged[item[merge_key]] = merge(merged.get(item[merge_key], {}), item)
    if order is None:
        return list(merged.values())
    wanted = [item[merge_key] for item in order if isinstance(item, dict) and item.get(merge_key) in merged]
    return [merged[name] for name in dict.fromkeys([*wanted, *merged])]
