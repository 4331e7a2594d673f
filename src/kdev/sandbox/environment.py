"""A container's environment, arguments and references, by Kubernetes' rules."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from kdev.sandbox.interface import Object
from kdev.sandbox.network import NODE_ADDRESS, SERVICE_NETWORK

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""containerd's default; the programs are the host's."""

LookUp = Callable[[Object], dict[str, bytes]]
"""Of a volume, its files: an object's keys are what a volume of it would hold."""

_REFERENCE: Final = re.compile(r"\$(?:\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")
_API_SERVER: Final = {
    "KUBERNETES_SERVICE_HOST": str(SERVICE_NETWORK[1]),
    "KUBERNETES_SERVICE_PORT": "443",
    "KUBERNETES_SERVICE_PORT_HTTPS": "443",
}
"""How a program in a pod finds the API server (k8s.io/client-go/rest, InClusterConfig)."""


def environment(container: Object, pod: Object, *, pod_ip: str, look_up: LookUp) -> dict[str, str]:
    """The variables of a container's spec, references and ``$(NAME)`` resolved in the order they stand.

    Raises:
        ValueError: A variable wants something that is not there.
    """
    variables = {"PATH": PATH, "HOSTNAME": pod["metadata"]["name"], **_API_SERVER}
    for source in container.get("envFrom", ()):
        variables |= _all_of(source, pod, look_up)
    for entry in container.get("env", ()):
        source = entry.get("valueFrom") or {}
        if "fieldRef" in source:
            variables[entry["name"]] = _field(source["fieldRef"]["fieldPath"], pod, pod_ip)
        elif source:
            value = _value_of(source, pod, look_up)
            variables |= {} if value is None else {entry["name"]: value}
        else:
            variables[entry["name"]] = expand(str(entry.get("value", "")), variables)
    return variables


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``$(NAME)``; unknown names stay as they are and ``$$`` stands for ``$``."""

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return "$"
        return variables.get(match[1], match[0])

    return _REFERENCE.sub(value, text)


def arguments(container: Object, entrypoint: Sequence[str], variables: Mapping[str, str]) -> list[str]:
    """The program and its arguments: ``command`` takes the place of the image's entry point, ``args`` follow."""
    return [expand(word, variables) for word in (*(container.get("command") or entrypoint), *container.get("args", ()))]


def _all_of(source: Object, pod: Object, look_up: LookUp) -> dict[str, str]:
    """What an entry of ``envFrom`` contributes."""
    kind = "Secret" if "secretRef" in source else "ConfigMap"
    data = _data(kind, source["secretRef" if kind == "Secret" else "configMapRef"], pod, look_up)
    return {source.get("prefix", "") + key: value.decode(errors="replace") for key, value in (data or {}).items()}


def _value_of(source: Object, pod: Object, look_up: LookUp) -> str | None:
    """The value of one key; None when that is optional and not there."""
    kind = "Secret" if "secretKeyRef" in source else "ConfigMap"
    reference: Object = source["secretKeyRef" if kind == "Secret" else "configMapKeyRef"]
    data, key = _data(kind, reference, pod, look_up), reference["key"]
    if data is not None and key in data:
        return data[key].decode(errors="replace")
    if not reference.get("optional"):
        raise ValueError(f"couldn't find key {key} in {kind} {pod['metadata']['namespace']}/{reference['name']}")
    return None


def _data(kind: str, reference: Object, pod: Object, look_up: LookUp) -> dict[str, bytes] | None:
    """An object's keys and values; None when it is optional and not there."""
    name = reference["name"]
    try:
        return look_up({"secret": {"secretName": name}} if kind == "Secret" else {"configMap": {"name": name}})
    except KeyError as error:
        if reference.get("optional"):
            return None
        raise ValueError(f'{kind.lower()} "{name}" not found in {pod["metadata"]["namespace"]}') from error


def _field(path: str, pod: Object, pod_ip: str) -> str:
    metadata = pod["metadata"]
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "status.podIP": pod_ip,
        "status.podIPs": pod_ip,
        "status.hostIP": str(NODE_ADDRESS),
        "status.hostIPs": str(NODE_ADDRESS),
    }
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if keyed:
        return str((metadata.get(keyed[1]) or {}).get(keyed[2], ""))
    if path not in known:
        raise ValueError(f'unknown fieldPath "{path}"')
    return str(known[path])
