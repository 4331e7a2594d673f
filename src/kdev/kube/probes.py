"""The health probes of a pod, read from its spec, as the application will receive them."""

from collections.abc import Iterator

from kdev.kube.mesh_containers import ISTIO, application_containers
from kdev.kube.objects import Container, HealthProbe, HttpGet, Pod
from kdev.kube.pod_facts import plain_environment
from kdev.mesh_adapters.istio_probes import rewritten_probes
from kdev.tunnel.messages import Probe

GRPC_PATH = "/grpc.health.v1.Health/Check"
"""What a gRPC probe calls (Kubernetes documentation, "Define a gRPC liveness probe")."""

_ISTIO_AGENT_PORT = 15020
_ISTIO_PREFIX = "/app-health/"


def probes_of(pod: Pod) -> tuple[Probe, ...]:
    """Liveness, readiness and startup probes of all containers, and those that Istio's agent sends instead.

    Raises:
        TargetFailure: Istio's record of the probes that it took over cannot be read.
    """
    probes = [probe for container in application_containers(pod) for probe in _probes(container)]
    for container in (*pod.containers, *pod.init_containers):
        if container.name == ISTIO:
            probes += rewritten_probes(plain_environment(container))
    return tuple(dict.fromkeys(probes))


def _probes(container: Container) -> Iterator[Probe]:
    for health in (container.liveness_probe, container.readiness_probe, container.startup_probe):
        probe = health and _probe(health, container)
        if probe:
            yield probe


def _probe(health: HealthProbe, container: Container) -> Probe | None:
    if health.grpc is not None:
        return Probe(port=health.grpc.port, path=GRPC_PATH)
    if health.tcp_socket is not None:
        port = _number(health.tcp_socket.port, container)
        return Probe(port=port, path="") if port else None
    if health.http_get is not None:
        return _http_probe(health.http_get, container)
    return None


def _http_probe(action: HttpGet, container: Container) -> Probe | None:
    port = _number(action.port, container)
    path = "/" + action.path.partition("?")[0].lstrip("/")
    if not port or (port == _ISTIO_AGENT_PORT and path.startswith(_ISTIO_PREFIX)):
        return None  # a rewritten probe ends at Istio's agent, which sends the original
    if action.scheme.upper() == "HTTPS":
        return Probe(port=port, path="")  # nothing of it can be read
    agent = next((header.value for header in action.http_headers or () if header.name.lower() == "user-agent"), None)
    return Probe(port=port, path=path, user_agent=agent)


def _number(port: int | str, container: Container) -> int | None:
    """A port's number; a name is one of the container's own ports', and a number may be written as text."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    return next((declared.container_port for declared in container.ports or () if declared.name == port), None)
