"""Manifests of services that run in the sandbox: ordinary Kubernetes objects, applied through its API."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kdev.sandbox.interface import Object

PROTOCOLS = ("http", "grpc", "tcp")


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a workload and of its service.

    Attributes:
        name: By Istio's rules, which protocol it is: ``http``, ``grpc``, ``tcp``.
        port: The service's.
        target: The container's.
    """

    name: str
    port: int
    target: int


@dataclass(frozen=True, slots=True)
class Workload:
    """A deployment with its service and service account, all of one name.

    Attributes:
        name: The name.
        namespace: Where.
        image: The container's image.
        ports: Its ports; may be empty.
        replicas: How many pods.
        command: The program; empty for the image's own.
        directory: The program's working directory.
        environment: The container's variables.
        probes: By kind (``readinessProbe``), what the kubelet asks.
        user: The user it runs as; None for the image's.
    """

    name: str
    namespace: str
    image: str
    ports: tuple[Port, ...]
    replicas: int = 1
    command: tuple[str, ...] = ()
    directory: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    probes: Mapping[str, Object] = field(default_factory=dict)
    user: int | None = None

    def objects(self) -> list[Object]:
        """The objects, in the order to apply them."""
        service = [self._service()] if self.ports else []
        return [self._object("v1", "ServiceAccount"), *service, self._deployment()]

    def _service(self) -> Object:
        ports = [{"name": p.name, "port": p.port, "targetPort": p.target, "protocol": "TCP"} for p in self.ports]
        return self._object("v1", "Service", spec={"selector": {"app": self.name}, "ports": ports})

    def _deployment(self) -> Object:
        labels = {"app": self.name}
        template = {
            "metadata": {"labels": labels},
            "spec": {
                "serviceAccountName": self.name,
                "terminationGracePeriodSeconds": 2,
                "containers": [self._container()],
            },
        }
        spec = {"replicas": self.replicas, "selector": {"matchLabels": labels}, "template": template}
        return self._object("apps/v1", "Deployment", spec=spec)

    def _container(self) -> Object:
        container: Object = {
            "name": self.name,
            "image": self.image,
            "env": [{"name": name, "value": value} for name, value in self.environment.items()],
            "ports": [{"name": port.name, "containerPort": port.target} for port in self.ports],
            **self.probes,
        }
        if self.command:
            container["command"] = list(self.command)
        if self.directory:
            container["workingDir"] = self.directory
        if self.user is not None:
            container["securityContext"] = {"runAsUser": self.user, "runAsGroup": self.user}
        return container

    def _object(self, version: str, kind: str, **rest: Any) -> Object:
        metadata = {"name": self.name, "namespace": self.namespace, "labels": {"app": self.name}}
        return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def namespace(name: str, *, meshed: bool) -> Object:
    """A namespace; in a meshed one every pod gets a sidecar."""
    labels = {"istio-injection": "enabled"} if meshed else {}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def http_probes(path: str, port: int) -> dict[str, Object]:
    """Readiness and liveness by one path."""
    check = {"path": path, "port": port}
    return {
        "readinessProbe": {"httpGet": check, "periodSeconds": 1},
        "livenessProbe": {"httpGet": check, "periodSeconds": 10},
    }


def tcp_probes(port: int) -> dict[str, Object]:
    """Readiness by an accepted connection."""
    return {"readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1}}


def names(objects: Sequence[Object]) -> list[tuple[str, str]]:
    """Namespace and name of the deployments among objects."""
    return [(o["metadata"]["namespace"], o["metadata"]["name"]) for o in objects if o["kind"] == "Deployment"]
