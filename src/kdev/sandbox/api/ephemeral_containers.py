"""The rules of ``pods/ephemeralcontainers``: what one may carry, and that existing ones stay as they are.

After k8s.io/kubernetes/pkg/apis/core/validation, ``validateEphemeralContainers`` and
``ValidatePodEphemeralContainersUpdate``, whose texts these are.
"""

from collections.abc import Iterator
from typing import Final

from kdev.sandbox.api import defaults, statuses
from kdev.sandbox.api.pod_specs import container_name, containers_of
from kdev.sandbox.api.resources import PODS
from kdev.sandbox.api.statuses import Cause
from kdev.sandbox.interface import Object

_ALLOWED: Final = frozenset(
    {
        "name",
        "image",
        "command",
        "args",
        "workingDir",
        "envFrom",
        "env",
        "volumeMounts",
        "volumeDevices",
        "terminationMessagePath",
        "terminationMessagePolicy",
        "imagePullPolicy",
        "securityContext",
        "stdin",
        "stdinOnce",
        "tty",
        "targetContainerName",
    }
)
"""``allowedEphemeralContainerFields``; everything else is refused when set."""

_PATH: Final = "spec.ephemeralContainers"


def updated(old: Object, wanted: Object) -> Object:
    """The pod with the wanted ephemeral containers; every other difference is dropped, as the real one does.

    Raises:
        Refusal: 422 with every cause.
    """
    wanted_containers = [dict(item) for item in wanted.get("spec", {}).get("ephemeralContainers") or ()]
    for container in wanted_containers:
        defaults.fill_container(container)
        if container.get("resources") == {}:
            del container["resources"]
    meta = old["metadata"] | {
        "resourceVersion": wanted["metadata"].get("resourceVersion", old["metadata"]["resourceVersion"])
    }
    spec = old["spec"] | {"ephemeralContainers": wanted_containers}
    causes = [*_validate(spec), *_immutable(old["spec"].get("ephemeralContainers") or [], wanted_containers)]
    if causes:
        raise statuses.invalid(PODS, old["metadata"]["name"], causes)
    return old | {"metadata": meta, "spec": spec}


def from_legacy(old: Object, body: Object) -> Object:
    """The pod that an old client's ``EphemeralContainers`` asks for.

    Kubernetes before 1.22 had that kind (its list stands outside any spec), and ``kubectl debug`` of Debian 12 still
    sends it; it never learns which containers are there already, so they are kept.
    """
    known = old["spec"].get("ephemeralContainers") or []
    names = {container["name"] for container in known}
    new = [item for item in body.get("ephemeralContainers") or () if item.get("name") not in names]
    return old | {"spec": old["spec"] | {"ephemeralContainers": known + new}}


def added(old: Object, new: Object) -> list[Object]:
    """The ephemeral containers that the new pod has and the old one has not."""
    known = {container["name"] for container in old["spec"].get("ephemeralContainers") or ()}
    return [item for item in new["spec"].get("ephemeralContainers") or () if item["name"] not in known]


def _validate(spec: Object) -> Iterator[Cause]:
    targets = {item["name"] for kind in ("containers", "initContainers") for item in spec.get(kind) or ()}
    volumes = {volume["name"] for volume in spec.get("volumes") or ()}
    seen = set(targets)
    for where, container in containers_of(spec):
        if not where.startswith("ephemeral"):
            continue
        path = f"spec.{where}"
        yield from container_name(container, path)
        if container.get("name") in seen:
            yield statuses.duplicate(f"{path}.name", container["name"])
        seen.add(container.get("name", ""))
        if not container.get("image"):
            yield statuses.required(f"{path}.image")
        target = container.get("targetContainerName")
        if target and target not in targets:
            yield statuses.not_found_value(f"{path}.targetContainerName", target)
        for field in sorted(set(container) - _ALLOWED):
            yield statuses.forbidden_field(f"{path}.{field}", "cannot be set for an Ephemeral Container")
        for index, mount in enumerate(container.get("volumeMounts") or ()):
            yield from _mount(mount, volumes, f"{path}.volumeMounts[{index}]")


def _mount(mount: Object, volumes: set[str], path: str) -> Iterator[Cause]:
    if mount.get("name") not in volumes:
        yield statuses.not_found_value(f"{path}.name", mount.get("name"))
    for field in ("subPath", "subPathExpr"):
        if mount.get(field):
            yield statuses.forbidden_field(f"{path}.{field}", "cannot be set for an Ephemeral Container")


def _immutable(old: list[Object], new: list[Object]) -> Iterator[Cause]:
    by_name = {container.get("name"): container for container in new}
    for container in old:
        name = container["name"]
        if name not in by_name:
            yield statuses.forbidden_field(_PATH, f'existing ephemeral containers "{name}" may not be removed\n')
        elif by_name[name] != container:
            yield statuses.forbidden_field(_PATH, f'existing ephemeral containers "{name}" may not be changed\n')
