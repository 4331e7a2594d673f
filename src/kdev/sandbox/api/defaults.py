"""Fields that Kubernetes fills in when the writer leaves them out; clients rely on finding them."""

from collections.abc import Callable
from typing import Any, Final

from kdev.sandbox.api.resources import DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, SERVICES, Resource
from kdev.sandbox.interface import Object

_PROBES: Final = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE: Final = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


def apply(resource: Resource, obj: Object) -> None:
    """Fill in an object of any kind."""
    if fill := _FILLERS.get(resource.kind):
        fill(obj)


def fill_pod_spec(spec: Object) -> None:
    """Fill in a pod's spec or a template's."""
    defaults: dict[str, Any] = {
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "serviceAccountName": spec.get("serviceAccount", ""),
        "schedulerName": "default-scheduler",
        "securityContext": {},
        "enableServiceLinks": True,
    }
    for key, value in defaults.items():
        spec.setdefault(key, value)
    if not spec["serviceAccountName"]:
        del spec["serviceAccountName"]
    for container in (*spec.get("initContainers", ()), *spec.get("containers", ())):
        fill_container(container)
        container.setdefault("resources", {})
    for volume in spec.get("volumes", ()):
        for source in ("configMap", "secret", "projected", "downwardAPI"):
            if source in volume:
                volume[source].setdefault("defaultMode", 0o644)


def fill_container(container: Object) -> None:
    """Fill in any container, ephemeral ones too."""
    image = str(container.get("image", ""))
    tag = image.rpartition("/")[2].rpartition(":")[2] if ":" in image.rpartition("/")[2] else "latest"
    container.setdefault("imagePullPolicy", "Always" if tag == "latest" and "@" not in image else "IfNotPresent")
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    for port in container.get("ports", ()):
        port.setdefault("protocol", "TCP")
    for probe in (container[name] for name in _PROBES if name in container):
        for key, value in _PROBE.items():
            probe.setdefault(key, value)
        if "httpGet" in probe:
            probe["httpGet"].setdefault("path", "/")
            probe["httpGet"].setdefault("scheme", "HTTP")


def _fill_pod(pod: Object) -> None:
    fill_pod_spec(pod.setdefault("spec", {}))
    pod["spec"].setdefault("serviceAccountName", "default")
    pod.setdefault("status", {}).setdefault("phase", "Pending")
    pod["status"].setdefault("qosClass", "BestEffort")


def _fill_template(owner: Object) -> None:
    spec = owner.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {}).setdefault("creationTimestamp", None)
    fill_pod_spec(template.setdefault("spec", {}))
    owner.setdefault("status", {})


def _fill_deployment(deployment: Object) -> None:
    _fill_template(deployment)
    spec = deployment["spec"]
    spec.setdefault("revisionHistoryLimit", 10)
    spec.setdefault("progressDeadlineSeconds", 600)
    strategy = spec.setdefault("strategy", {})
    strategy.setdefault("type", "RollingUpdate")
    if strategy["type"] == "RollingUpdate":
        rolling = strategy.setdefault("rollingUpdate", {})
        rolling.setdefault("maxUnavailable", "25%")
        rolling.setdefault("maxSurge", "25%")


def _fill_replica_set(replica_set: Object) -> None:
    _fill_template(replica_set)
    replica_set["status"].setdefault("replicas", 0)


def _fill_service(service: Object) -> None:
    spec = service.setdefault("spec", {})
    spec.setdefault("type", "ClusterIP")
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("internalTrafficPolicy", "Cluster")
    spec.setdefault("ipFamilies", ["IPv4"])
    spec.setdefault("ipFamilyPolicy", "SingleStack")
    for port in spec.get("ports", ()):
        port.setdefault("protocol", "TCP")
        port.setdefault("targetPort", port.get("port"))
    service.setdefault("status", {"loadBalancer": {}})


def _fill_namespace(namespace: Object) -> None:
    meta = namespace["metadata"]
    meta.setdefault("labels", {})["kubernetes.io/metadata.name"] = meta["name"]
    namespace.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])
    namespace.setdefault("status", {}).setdefault("phase", "Active")


_FILLERS: Final[dict[str, Callable[[Object], None]]] = {
    PODS.kind: _fill_pod,
    DEPLOYMENTS.kind: _fill_deployment,
    REPLICA_SETS.kind: _fill_replica_set,
    SERVICES.kind: _fill_service,
    NAMESPACES.kind: _fill_namespace,
}
