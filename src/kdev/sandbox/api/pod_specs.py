"""What a pod's spec, or a template's, must fulfil to be run by the node.

The rules and texts are a subset of k8s.io/kubernetes/pkg/apis/core/validation. What a real cluster would run and the
sandbox cannot is refused with 501, never ignored.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from kdev.sandbox.api import statuses
from kdev.sandbox.api.statuses import Cause
from kdev.sandbox.interface import Object

LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
LABEL_TEXT: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_RESTART_POLICIES: Final = ("Always", "OnFailure", "Never")
_RUNNABLE_VOLUMES: Final = ("configMap", "secret", "emptyDir", "projected", "downwardAPI", "hostPath")
_HOST_PATH_TYPES: Final = frozenset({"", "Directory", "File", "Socket"})


def containers_of(spec: Object) -> Iterator[tuple[str, Object]]:
    """Every container of a pod's spec with its path below the spec."""
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(kind) or ()):
            yield f"{kind}[{index}]", container


def container_name(container: Object, path: str) -> Iterator[Cause]:
    """A container's name must be a DNS label."""
    name = container.get("name", "")
    if not name:
        yield statuses.required(f"{path}.name")
    elif len(name) > 63 or not LABEL.fullmatch(name):
        yield statuses.invalid_value(f"{path}.name", name, LABEL_TEXT)


def pod_spec(spec: Object, path: str) -> Iterator[Cause]:
    """What is wrong with a spec.

    Args:
        spec: The spec.
        path: Where it stands in its object.

    Raises:
        Refusal: 501, only a real cluster can run it.
    """
    _refuse_unsupported(spec)
    if not spec.get("containers"):
        yield statuses.required(f"{path}.containers")
    if (policy := spec.get("restartPolicy")) not in _RESTART_POLICIES:
        yield statuses.unsupported_value(f"{path}.restartPolicy", policy, _RESTART_POLICIES)
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    seen: set[str] = set()
    for where, container in containers_of(spec):
        inner = f"{path}.{where}"
        yield from container_name(container, inner)
        if container.get("name") in seen:
            yield statuses.duplicate(f"{inner}.name", container["name"])
        seen.add(container.get("name", ""))
        if not container.get("image"):
            yield statuses.required(f"{inner}.image")
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            yield from _mount(mount, volumes, f"{inner}.volumeMounts[{index}]")
        yield from ports(container.get("ports") or (), "containerPort", f"{inner}.ports")


def _refuse_unsupported(spec: Object) -> None:
    if spec.get("hostNetwork") or spec.get("hostPID") or spec.get("hostIPC"):
        raise statuses.not_implemented("pods in the host's namespaces (hostNetwork, hostPID, hostIPC)")
    for volume in spec.get("volumes") or ():
        if unsupported := set(volume) - {"name", *_RUNNABLE_VOLUMES}:
            raise statuses.not_implemented(f"volumes of type {', '.join(sorted(unsupported))}")
        if (volume.get("hostPath") or {}).get("type", "") not in _HOST_PATH_TYPES:
            raise statuses.not_implemented("hostPath volumes of that type: the path must be a file or directory")
    for _, container in containers_of(spec):
        if any("resourceFieldRef" in (entry.get("valueFrom") or {}) for entry in container.get("env") or ()):
            raise statuses.not_implemented("variables from resourceFieldRef: nothing here limits a container")


def _mount(mount: Object, volumes: set[str], path: str) -> Iterator[Cause]:
    if mount.get("name") not in volumes:
        yield statuses.not_found_value(f"{path}.name", mount.get("name"))
    if ".." in str(mount.get("subPath", "")).split("/"):
        yield statuses.invalid_value(f"{path}.subPath", mount["subPath"], "must not contain '..'")


def ports(declared: Sequence[Object], field: str, path: str) -> Iterator[Cause]:
    """What is wrong with the ports of a container or a service; ``field`` holds their number."""
    for index, port in enumerate(declared):
        number = port.get(field)
        if number is None:
            yield statuses.required(f"{path}[{index}].{field}")
        elif not 1 <= number <= 65535:
            where = f"{path}[{index}].{field}"
            yield statuses.invalid_value(where, number, "must be between 1 and 65535, inclusive")
        if port.get("protocol") not in {"TCP", "UDP", "SCTP"}:
            yield statuses.unsupported_value(f"{path}[{index}].protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))
