"""What an object must fulfil to be stored: names, and for the kinds that run, the fields the node relies on.

The rules and texts are a subset of k8s.io/kubernetes/pkg/apis/core/validation; types are checked before, by
``decoding``. What a real cluster would run and the sandbox cannot is refused with 501, never ignored.
"""

import re
from collections.abc import Iterator
from typing import Final

from kdev.sandbox.api import statuses
from kdev.sandbox.api.pod_specs import LABEL, LABEL_TEXT, pod_spec, ports
from kdev.sandbox.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS, SERVICES, Resource
from kdev.sandbox.api.selectors import matches_labels
from kdev.sandbox.api.statuses import Cause
from kdev.sandbox.interface import Object

_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_PATH_SEGMENT: Final = re.compile(r"[^/%]+")
_LABEL_VALUE: Final = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?")
_SUBDOMAIN_TEXT: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_VALUE_TEXT: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character"
)


def validate(resource: Resource, obj: Object) -> None:
    """Refuse an object that its kind forbids.

    Raises:
        Refusal: 422 with every cause, or 501 for what only a real cluster can run.
    """
    name = obj["metadata"].get("name", "")
    causes = list(_metadata(resource, obj["metadata"], name))
    if resource is PODS:
        causes += pod_spec(obj.get("spec", {}), "spec")
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


def _metadata(resource: Resource, meta: Object, name: str) -> Iterator[Cause]:
    if not name:
        yield statuses.required("metadata.name", "name or generateName is required")
    elif resource.group == "rbac.authorization.k8s.io":
        # Roles may be called system:node and the like; only what breaks a path is refused.
        if not _PATH_SEGMENT.fullmatch(name):
            yield statuses.invalid_value("metadata.name", name, "may not contain '/' or '%'")
    elif resource.plural in {"namespaces", "services"}:
        if len(name) > 63 or not LABEL.fullmatch(name):
            yield statuses.invalid_value("metadata.name", name, LABEL_TEXT)
    elif len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        yield statuses.invalid_value("metadata.name", name, _SUBDOMAIN_TEXT)
    for value in (meta.get("labels") or {}).values():
        if len(value) > 63 or not _LABEL_VALUE.fullmatch(value):
            yield statuses.invalid_value("metadata.labels", value, _LABEL_VALUE_TEXT)


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
    yield from pod_spec(template.get("spec") or {}, "spec.template.spec")


def _service(spec: Object) -> Iterator[Cause]:
    if spec.get("type") not in {"ClusterIP", "NodePort", "LoadBalancer"}:
        raise statuses.not_implemented(f"services of type {spec.get('type')}")
    declared = spec.get("ports") or []
    if not declared and spec.get("clusterIP") != "None":
        yield statuses.required("spec.ports")
    yield from ports(declared, "port", "spec.ports")
    for index, port in enumerate(declared):
        if len(declared) > 1 and not port.get("name"):
            yield statuses.required(f"spec.ports[{index}].name")


def _without_images(spec: Object) -> Object:
    kinds = ("containers", "initContainers")
    return spec | {kind: [item | {"image": ""} for item in spec.get(kind) or ()] for kind in kinds}
