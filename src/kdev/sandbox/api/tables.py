"""Objects as kubectl prints them: ``meta.k8s.io/v1`` Tables, made by the server since Kubernetes 1.10.

Columns and texts follow k8s.io/kubernetes/pkg/printers/internalversion.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from kdev.sandbox.api.resources import Resource
from kdev.sandbox.interface import Object


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: Its heading.
        cell: What an object shows there.
        wide: Whether it is shown with ``-o wide`` only.
    """

    name: str
    cell: Callable[[Object], Any]
    wide: bool = False


def table(resource: Resource, objects: Sequence[Object], meta: Object, include: str) -> Object:
    """A Table of objects.

    Args:
        resource: Their kind.
        objects: The rows.
        meta: The list's metadata.
        include: How much of each object goes along: ``None``, ``Metadata`` or ``Object``.
    """
    columns = _COLUMNS.get(resource.kind, _PLAIN)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": meta,
        "columnDefinitions": [
            {
                "name": column.name,
                "type": "string",
                "format": "name" if column.name == "Name" else "",
                "description": column.name,
                "priority": int(column.wide),
            }
            for column in columns
        ],
        "rows": [{"cells": [column.cell(obj) for column in columns]} | _object_of_row(obj, include) for obj in objects],
    }


def partial_metadata(obj: Object) -> Object:
    """An object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}


def _object_of_row(obj: Object, include: str) -> Object:
    if include == "None":
        return {}
    return {"object": obj if include == "Object" else partial_metadata(obj)}


def age(moment: str | None) -> str:
    """The time since a moment in kubectl's short form (apimachinery's ``duration.HumanDuration``)."""
    if not moment:
        return "<unknown>"
    then = datetime.fromisoformat(moment)
    seconds = int((datetime.now(UTC) - then).total_seconds())
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{max(seconds, 0)}s"
    if minutes < 10:
        return f"{minutes}m{seconds % 60}s" if seconds % 60 else f"{minutes}m"
    if hours < 3:
        return f"{minutes}m"
    if hours < 48:
        return f"{hours}h{minutes % 60}m" if hours < 8 and minutes % 60 else f"{hours}h"
    return f"{days}d"


def _age(obj: Object) -> str:
    return age(obj["metadata"].get("creationTimestamp"))


def _name(obj: Object) -> Any:
    return obj["metadata"]["name"]


def _containers(pod: Object) -> list[Object]:
    return pod.get("status", {}).get("containerStatuses") or []


def _pod_ready(pod: Object) -> str:
    """Ready and all containers; sidecars among the init containers count, since Kubernetes 1.28."""
    sidecars = _sidecars(pod)
    counted = [item for item in pod.get("status", {}).get("initContainerStatuses") or () if item["name"] in sidecars]
    ready = sum(bool(status.get("ready")) for status in (*counted, *_containers(pod)))
    return f"{ready}/{len(pod['spec']['containers']) + len(sidecars)}"


def _sidecars(pod: Object) -> set[str]:
    return {item["name"] for item in pod["spec"].get("initContainers") or () if item.get("restartPolicy") == "Always"}


def _pod_status(pod: Object) -> str:
    status = pod.get("status", {})
    reason = str(status.get("reason") or status.get("phase") or "Unknown")
    initialising = _initialising(status, pod)
    if initialising is not None:
        reason = initialising
    else:
        for container in reversed(_containers(pod)):
            reason = _container_reason(container.get("state", {})) or reason
        if reason == "Completed" and any("running" in item.get("state", {}) for item in _containers(pod)):
            reason = "Running" if _is_ready(pod) else "NotReady"
    return "Terminating" if "deletionTimestamp" in pod["metadata"] else reason


def _initialising(status: Object, pod: Object) -> str | None:
    """What an init container that has not done its part is at; sidecars count as done once they started."""
    sidecars = _sidecars(pod)
    statuses = status.get("initContainerStatuses") or []
    for index, container in enumerate(statuses):
        state = container.get("state", {})
        if state.get("terminated", {}).get("exitCode") == 0:
            continue
        if container["name"] in sidecars and container.get("started"):
            continue
        reason = _container_reason(state)
        return f"Init:{reason}" if reason and reason != "PodInitializing" else f"Init:{index}/{len(statuses)}"
    return None


def _container_reason(state: Object) -> str:
    waiting, terminated = state.get("waiting"), state.get("terminated")
    if waiting and waiting.get("reason"):
        return str(waiting["reason"])
    if terminated:
        signal = terminated.get("signal")
        return str(terminated.get("reason") or (f"Signal:{signal}" if signal else f"ExitCode:{terminated['exitCode']}"))
    return ""


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(item["type"] == "Ready" and item["status"] == "True" for item in conditions)


def _restarts(pod: Object) -> str:
    count = sum(status.get("restartCount", 0) for status in _containers(pod))
    ends = [status.get("lastState", {}).get("terminated", {}).get("finishedAt") for status in _containers(pod)]
    latest = max(filter(None, ends), default=None)
    return f"{count} ({age(latest)} ago)" if count and latest else str(count)


def _spec(*path: str, default: Any = "<none>") -> Callable[[Object], Any]:
    return _path("spec", *path, default=default)


def _status(*path: str, default: Any = 0) -> Callable[[Object], Any]:
    return _path("status", *path, default=default)


def _path(*path: str, default: Any = "<none>") -> Callable[[Object], Any]:
    def cell(obj: Object) -> Any:
        value: Any = obj
        for segment in path:
            value = value.get(segment) if isinstance(value, dict) else None
        return default if value in {None, ""} else value

    return cell


def _selector(obj: Object) -> str:
    selector = obj["spec"].get("selector") or {}
    labels = selector.get("matchLabels", selector)
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items())) or "<none>"


def _template(field: str) -> Callable[[Object], str]:
    return lambda obj: ",".join(item[field] for item in obj["spec"]["template"]["spec"]["containers"])


def _service_ports(service: Object) -> str:
    ports = service["spec"].get("ports") or ()
    return ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in ports) or "<none>"


def _endpoint_addresses(endpoints: Object) -> str:
    texts = [
        f"{address['ip']}:{port['port']}"
        for subset in endpoints.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    ]
    more = f" + {len(texts) - 3} more..." if len(texts) > 3 else ""
    return ",".join(texts[:3]) + more or "<none>"


def _slice_ports(endpoint_slice: Object) -> str:
    return ",".join(str(port.get("port")) for port in endpoint_slice.get("ports") or ()) or "<unset>"


def _slice_addresses(endpoint_slice: Object) -> str:
    return (
        ",".join(address for item in endpoint_slice.get("endpoints") or () for address in item["addresses"])
        or "<unset>"
    )


def _event_object(event: Object) -> str:
    involved = event["involvedObject"]
    return f"{involved.get('kind', '').lower()}/{involved.get('name', '')}"


def _role_ref(binding: Object) -> str:
    return f"{binding['roleRef']['kind']}/{binding['roleRef']['name']}"


def _node_status(node: Object) -> str:
    return "Ready" if _is_ready(node) else "NotReady"


def _node_roles(node: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    return (
        ",".join(key.removeprefix(prefix) for key in node["metadata"]["labels"] if key.startswith(prefix)) or "<none>"
    )


_NAME: Final = Column("Name", _name)
_AGE: Final = Column("Age", _age)
_PLAIN: Final = (_NAME, Column("Created At", lambda obj: obj["metadata"].get("creationTimestamp")))
_COUNT_DATA: Final = Column("Data", lambda obj: len(obj.get("data") or {}) + len(obj.get("binaryData") or {}))
_COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "Pod": (
        _NAME,
        Column("Ready", _pod_ready),
        Column("Status", _pod_status),
        Column("Restarts", _restarts),
        _AGE,
        Column("IP", _status("podIP", default="<none>"), wide=True),
        Column("Node", _spec("nodeName"), wide=True),
        Column("Nominated Node", _status("nominatedNodeName", default="<none>"), wide=True),
        Column("Readiness Gates", lambda _: "<none>", wide=True),
    ),
    "Deployment": (
        _NAME,
        Column("Ready", lambda obj: f"{obj['status'].get('readyReplicas', 0)}/{obj['spec']['replicas']}"),
        Column("Up-to-date", _status("updatedReplicas")),
        Column("Available", _status("availableReplicas")),
        _AGE,
        Column("Containers", _template("name"), wide=True),
        Column("Images", _template("image"), wide=True),
        Column("Selector", _selector, wide=True),
    ),
    "ReplicaSet": (
        _NAME,
        Column("Desired", _spec("replicas", default=0)),
        Column("Current", _status("replicas")),
        Column("Ready", _status("readyReplicas")),
        _AGE,
        Column("Containers", _template("name"), wide=True),
        Column("Images", _template("image"), wide=True),
        Column("Selector", _selector, wide=True),
    ),
    "Service": (
        _NAME,
        Column("Type", _spec("type")),
        Column("Cluster-IP", _spec("clusterIP")),
        Column("External-IP", lambda _: "<none>"),
        Column("Port(s)", _service_ports),
        _AGE,
        Column("Selector", _selector, wide=True),
    ),
    "Endpoints": (_NAME, Column("Endpoints", _endpoint_addresses), _AGE),
    "EndpointSlice": (
        _NAME,
        Column("AddressType", _path("addressType")),
        Column("Ports", _slice_ports),
        Column("Endpoints", _slice_addresses),
        _AGE,
    ),
    "Event": (
        Column("Last Seen", lambda obj: age(obj.get("lastTimestamp") or obj["metadata"]["creationTimestamp"])),
        Column("Type", _path("type")),
        Column("Reason", _path("reason")),
        Column("Object", _event_object),
        Column("Subobject", _path("involvedObject", "fieldPath", default=""), wide=True),
        Column("Source", _path("source", "component", default=""), wide=True),
        Column("Message", lambda obj: str(obj.get("message", "")).strip()),
        Column("First Seen", lambda obj: age(obj.get("firstTimestamp")), wide=True),
        Column("Count", _path("count", default=1), wide=True),
        Column("Name", _name, wide=True),
    ),
    "Namespace": (_NAME, Column("Status", _status("phase", default="")), _AGE),
    "Node": (
        _NAME,
        Column("Status", _node_status),
        Column("Roles", _node_roles),
        _AGE,
        Column("Version", _status("nodeInfo", "kubeletVersion", default="")),
        Column("Internal-IP", lambda node: node["status"]["addresses"][0]["address"], wide=True),
        Column("External-IP", lambda _: "<none>", wide=True),
        Column("OS-Image", _status("nodeInfo", "osImage", default=""), wide=True),
        Column("Kernel-Version", _status("nodeInfo", "kernelVersion", default=""), wide=True),
        Column("Container-Runtime", _status("nodeInfo", "containerRuntimeVersion", default=""), wide=True),
    ),
    "ConfigMap": (_NAME, _COUNT_DATA, _AGE),
    "Secret": (_NAME, Column("Type", _path("type", default="Opaque")), _COUNT_DATA, _AGE),
    "ServiceAccount": (_NAME, Column("Secrets", lambda obj: len(obj.get("secrets") or ())), _AGE),
    "RoleBinding": (_NAME, Column("Role", _role_ref), _AGE),
    "ClusterRoleBinding": (_NAME, Column("Role", _role_ref), _AGE),
}
