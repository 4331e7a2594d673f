"""A container's environment, arguments and references, by Kubernetes' rules."""

import re
from collections.abc import Mapping, Sequence

from kdev.sandbox.interface import Object

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""containerd's default; the programs are the host's."""

_REFERENCE = re.compile(r"\$(?:\$|\(([-._a-zA-Z][-._a-zA-Z0-9]*)\))")


def environment(container: Object, pod: Object, *, pod_ip: str) -> dict[str, str]:
    """The variables of a container's spec, with ``fieldRef`` and ``$(NAME)`` resolved in the order they stand.

    Raises:
        ValueError: A variable wants something that is not there.
    """
    variables = {"PATH": PATH, "HOSTNAME": pod["metadata"]["name"]}
    for entry in container.get("env", ()):
        source: Object = entry.get("valueFrom") or {}
        if "fieldRef" in source:
            variables[entry["name"]] = _field(source["fieldRef"]["fieldPath"], pod, pod_ip)
        elif source:
            raise ValueError(f'variable {entry["name"]}: only "fieldRef" can be resolved here')
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


def _field(path: str, pod: Object, pod_ip: str) -> str:
    metadata = pod["metadata"]
    known = {
        "metadata.name": metadata["name"],
        "metadata.namespace": metadata["namespace"],
        "metadata.uid": metadata["uid"],
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", "default"),
        "spec.nodeName": pod["spec"].get("nodeName", ""),
        "status.podIP": pod_ip,
        "status.hostIP": "",
    }
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['(.+)'\]", path)
    if keyed:
        return str((metadata.get(keyed[1]) or {}).get(keyed[2], ""))
    if path not in known:
        raise ValueError(f'unknown fieldPath "{path}"')
    return str(known[path])
