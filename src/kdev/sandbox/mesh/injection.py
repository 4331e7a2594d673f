"""What Istio's admission webhook does to a pod: a native sidecar, and probes that go through it.

As with Istio's CNI plugin there is no ``istio-init``: the node writes the capture rules when it makes the pod's
network.
"""

import copy
import json

from kdev.sandbox.images import SIDECAR as SIDECAR_IMAGE
from kdev.sandbox.interface import Object
from kdev.sandbox.mesh.shape import (
    AGENT_PORT,
    CONFIGURATION_DIRECTORY,
    CONFIGURATION_VOLUME,
    HEALTH_PORT,
    PROXY_UID,
    SIDECAR,
    STATUS_ANNOTATION,
    TRUST_DOMAIN,
)

_PROBE_PATHS = {"readinessProbe": "readyz", "livenessProbe": "livez", "startupProbe": "startupz"}
_CHECKS = ("httpGet", "tcpSocket", "grpc")


def inject(pod: Object, namespace: Object) -> Object:
    """The pod as the mesh admits it; the same pod when it is none of the mesh's business.

    Args:
        pod: The pod to be created.
        namespace: The namespace object, whose label ``istio-injection=enabled`` asks for sidecars; the pod's own
            ``sidecar.istio.io/inject: "false"`` (label or annotation) declines.
    """
    if not _wanted(pod, namespace):
        return pod
    meshed = copy.deepcopy(pod)
    spec = meshed["spec"]
    originals = _rewrite_probes(spec["containers"])
    spec.setdefault("initContainers", []).insert(0, _sidecar(originals))
    spec.setdefault("volumes", []).append({"name": CONFIGURATION_VOLUME, "emptyDir": {"medium": "Memory"}})
    metadata = meshed["metadata"]
    labels = metadata.setdefault("labels", {})
    labels.setdefault("service.istio.io/canonical-name", labels.get("app", metadata.get("name", "unknown")))
    labels["security.istio.io/tlsMode"] = "istio"
    status = {"initContainers": [SIDECAR], "containers": None, "volumes": [CONFIGURATION_VOLUME], "revision": "default"}
    metadata.setdefault("annotations", {})[STATUS_ANNOTATION] = json.dumps(status)
    return meshed


def _wanted(pod: Object, namespace: Object) -> bool:
    labels = namespace["metadata"].get("labels") or {}
    own = {**(pod["metadata"].get("annotations") or {}), **(pod["metadata"].get("labels") or {})}
    declined = own.get("sidecar.istio.io/inject") == "false" or STATUS_ANNOTATION in own
    return labels.get("istio-injection") == "enabled" and not declined


def _rewrite_probes(containers: list[Object]) -> Object:
    """Lead all network probes to the sidecar's agent; what they were, by the path that stands for them."""
    originals = {}
    for container in containers:
        for kind, last in _PROBE_PATHS.items():
            probe = container.get(kind)
            if probe is None or not any(check in probe for check in _CHECKS):
                continue
            path = f"/app-health/{container['name']}/{last}"
            original = {check: probe.pop(check) for check in _CHECKS if check in probe}
            _resolve_port(original, container)
            originals[path] = original | {"timeoutSeconds": probe.get("timeoutSeconds", 1)}
            probe["httpGet"] = {"path": path, "port": AGENT_PORT, "scheme": "HTTP"}
    return originals


def _resolve_port(original: Object, container: Object) -> None:
    """Named ports become numbers: the agent does not know the container's names."""
    numbers = {port.get("name"): port["containerPort"] for port in container.get("ports", ())}
    for check in original.values():
        if isinstance(check.get("port"), str):
            check["port"] = numbers.get(check["port"], check["port"])


def _sidecar(originals: Object) -> Object:
    ready = {"httpGet": {"path": "/healthz/ready", "port": HEALTH_PORT, "scheme": "HTTP"}, "timeoutSeconds": 3}
    return {
        "name": SIDECAR,
        "image": f"kdev.local/{SIDECAR_IMAGE}:sandbox",
        "args": ["proxy", "sidecar", "--domain", f"$(POD_NAMESPACE).svc.{TRUST_DOMAIN}"],
        "restartPolicy": "Always",
        "env": [
            *(_field(name, path) for name, path in _FIELDS.items()),
            {"name": "TRUST_DOMAIN", "value": TRUST_DOMAIN},
            {"name": "ISTIO_META_INTERCEPTION_MODE", "value": "REDIRECT"},
            {"name": "ISTIO_KUBE_APP_PROBERS", "value": json.dumps(originals)},
        ],
        "securityContext": {
            "runAsUser": PROXY_UID,
            "runAsGroup": PROXY_UID,
            "runAsNonRoot": True,
            "allowPrivilegeEscalation": False,
            "privileged": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "startupProbe": {**ready, "periodSeconds": 1, "failureThreshold": 600},
        "readinessProbe": {**ready, "periodSeconds": 15, "failureThreshold": 4},
        "volumeMounts": [{"name": CONFIGURATION_VOLUME, "mountPath": CONFIGURATION_DIRECTORY}],
    }


_FIELDS = {
    "POD_NAME": "metadata.name",
    "POD_NAMESPACE": "metadata.namespace",
    "INSTANCE_IP": "status.podIP",
    "SERVICE_ACCOUNT": "spec.serviceAccountName",
}


def _field(name: str, path: str) -> Object:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}}
