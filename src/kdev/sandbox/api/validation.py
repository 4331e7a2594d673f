"""What an object must fulfil to be stored: names, and for the kinds that run, the fields the node relies on.

The rules and texts are a subset of k8s.io/kubernetes/pkg/apis/core/validation; types are checked before, by
``decoding``. What a real cluster would run and the sandbox cannot is refused with 501, never ignored.
"""

import re
from collections.abc import Iterator
from typing import Final

from kdev.sandbox.api import statuses
from kdev.sandbox.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS, SERVICES, Resource
from kdev.sandbox.api.selectors import matches_labels
from kdev.sandbox.api.statuses import Cause
from kdev.sandbox.interface import Object

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_PATH_SEGMENT: Final = re.compile(r"[^/%]+")
_LABEL_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_LABEL_TEXT: Final = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_TEXT: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_VALUE_TEXT: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character"
)
_RUNNABLE_VOLUMES: Final = ("configMap", "secret", "emptyDir", "projected", "downwardAPI", "hostPath")


def validate(resource: Resource, obj: Object) -> None:
    """Refuse an object that its kind forbids.

    Raises:
        Refusal: 422 with every cause, or 501 for what only a real cluster can run.
    """
    name = obj["metadata"].get("name", "")
    causes = list(_metadata(resource, obj["metadata"], name))
    if resource is PODS:
        causes += _pod_spec(obj.get("spec", {}), "spec")
    elif resource in (DEPLOYMENTS, REPLICA_SETS):
        causes += _workload(obj.get("spec", {}))
    elif resource is SERVICES:
        causes += _service(obj.get("spec", {}))
    if causes:
        raise statuses.invalid(resource, name, causes)


def validate_update(resource: Resource, old: Object, new: Object) -> None:
    """Refuse changes to what must not change.

    Raises:
        Refusal: 422.
    """
    name = new["metadata"]["name"]
    causes = []
    if old["metadata"]["uid"] != new["metadata"].get("uid", old["metadata"]["uid"]):
        raise statuses.conflict(resource, name, "Precondition failed: UID in precondition does not match the object's")
    if resource is PODS and old["spec"] != new["spec"]:
        detail = (
            "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
            "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
            "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
        )
        if _without_images(old["spec"]) == _without_images(new["spec"]):
            raise statuses.not_implemented("changing the image of a running pod")
        causes.append(statuses.forbidden_field("spec", detail))
    if resource in (DEPLOYMENTS, REPLICA_SETS) and old["spec"].get("selector") != new["spec"].get("selector"):
        causes.append(statuses.invalid_value("spec.selector", new["spec"].get("selector"), "field is immutable"))
    if resource is SERVICES and old["spec"].get("clusterIP") != new["spec"].get("clusterIP"):
        value = new["spec"].get("clusterIP", "")
        causes.append(statuses.invalid_value("spec.clusterIPs[0]", value, "may not change once set"))
    if causes:
        raise statuses.invalid(resource, name, causes)


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
    elif len(name) > 63 or not _LABEL.fullmatch(name):
        yield statuses.invalid_value(f"{path}.name", name, _LABEL_TEXT)


def _metadata(resource: Resource, meta: Object, name: str) -> Iterator[Cause]:
    if not name:
        yield statuses.required("metadata.name", "name or generateName is required")
    elif resource.group == "rbac.authorization.k8s.io":
        # Roles may be called system:node and the like; only what breaks a path is refused.
        if not _PATH_SEGMENT.fullmatch(name):
            yield statuses.invalid_value("metadata.name", name, "may not contain '/' or '%'")
    elif resource.plural in {"namespaces", "services"}:
        if len(name) > 63 or not _LABEL.fullmatch(name):
            yield statuses.invalid_value("metadata.name", name, _LABEL_TEXT)
    elif len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        yield statuses.invalid_value("metadata.name", name, _SUBDOMAIN_TEXT)
    for value in (meta.get("labels") or {}).values():
        if len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
            yield statuses.invalid_value("metadata.labels", value, _LABEL_VALUE_TEXT)


def _pod_spec(spec: Object, path: str) -> Iterator[Cause]:
    if not spec.get("containers"):
        yield statuses.required(f"{path}.containers")
    if spec.get("hostNetwork") or spec.get("hostPID") or spec.get("hostIPC"):
        raise statuses.not_implemented("pods in the host's namespaces (hostNetwork, hostPID, hostIPC)")
    if spec.get("restartPolicy") not in {"Always", "OnFailure", "Never"}:
        yield statuses.unsupported_value(
            f"{path}.restartPolicy", spec.get("restartPolicy"), ("Always", "OnFailure", "Never")
        )
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    for volume in spec.get("volumes") or ():
        if unsupported := set(volume) - {"name", *_RUNNABLE_VOLUMES}:
            raise statuses.not_implemented(f"volumes of type {', '.join(sorted(unsupported))}")
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
            if mount.get("name") not in volumes:
                yield statuses.not_found_value(f"{inner}.volumeMounts[{index}].name", mount.get("name"))
        yield from _ports(container.get("ports") or (), "containerPort", f"{inner}.ports")


def _ports(ports: list[Object] | tuple[Object, ...], field: str, path: str) -> Iterator[Cause]:
    for index, port in enumerate(ports):
        number = port.get(field)
        if number is None:
            yield statuses.required(f"{path}[{index}].{field}")
        elif not 1 <= number <= 65535:
            where = f"{path}[{index}].{field}"
            yield statuses.invalid_value(where, number, "must be between 1 and 65535, inclusive")
        if port.get("protocol") not in {"TCP", "UDP", "SCTP"}:
            yield statuses.unsupported_value(f"{path}[{index}].protocol", port.get("protocol"), ("SCTP", "TCP", "UDP"))


def _workload(spec: Object) -> Iterator[Cause]:
    template = spec.get("template") or {}
    selector = spec.get("selector")
    labels = (template.get("metadata") or {}).get("labels") or {}
    if spec.get("replicas", 1) < 0:
        detail = "must be greater than or equal to 0"
        yield statuses.invalid_value("spec.replicas", spec["replicas"], detail)
    if not selector or not (selector.get("matchLabels") or selector.get("matchExpressions")):
        yield statuses.required("spec.selector")
    elif not matches_labels(selector, labels):
        yield statuses.invalid_value(
            "spec.template.metadata.labels", labels, "`selector` does not match template `labels`"
        )
    yield from _pod_spec(template.get("spec") or {}, "spec.template.spec")


def _service(spec: Object) -> Iterator[Cause]:
    if spec.get("type") not in {"ClusterIP", "NodePort", "LoadBalancer"}:
        raise statuses.not_implemented(f"services of type {spec.get('type')}")
    ports = spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None":
        yield statuses.required("spec.ports")
    yield from _ports(ports, "port", "spec.ports")
    for index, port in enumerate(ports):
        if len(ports) > 1 and not port.get("name"):
            yield statuses.required(f"spec.ports[{index}].name")


def _without_images(spec: Object) -> Object:
    kinds = ("containers", "initContainers")
    return spec | {kind: [item | {"image": ""} for item in spec.get(kind) or ()] for kind in kinds}
