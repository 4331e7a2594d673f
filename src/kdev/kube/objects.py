"""The fields of Kubernetes objects that kdev reads; everything else in an answer is skipped while decoding.

Names and shapes are those of the Kubernetes API reference (v1, apps/v1, authorization.k8s.io/v1). A list that an API
server may send as ``null`` is typed so and read through a property.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec


class KubeObject(msgspec.Struct, frozen=True, rename="camel", kw_only=True):
    """Base of all: Kubernetes writes field names in camel case."""


class Metadata(KubeObject, frozen=True, kw_only=True):
    """ObjectMeta."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    deletion_timestamp: datetime | None = None


class Port(KubeObject, frozen=True, kw_only=True):
    """ContainerPort."""

    container_port: int
    name: str = ""
    protocol: str = "TCP"


class Variable(KubeObject, frozen=True, kw_only=True):
    """EnvVar; ``value`` is absent where it comes from elsewhere."""

    name: str
    value: str | None = None


class Header(KubeObject, frozen=True, kw_only=True):
    """HTTPHeader of a probe."""

    name: str
    value: str = ""


class HttpGet(KubeObject, frozen=True, kw_only=True):
    """HTTPGetAction; the port is a number or a container port's name."""

    port: int | str
    path: str = "/"
    scheme: str = "HTTP"
    http_headers: tuple[Header, ...] | None = None


class TcpSocket(KubeObject, frozen=True, kw_only=True):
    """TCPSocketAction."""

    port: int | str


class Grpc(KubeObject, frozen=True, kw_only=True):
    """GRPCAction."""

    port: int


class HealthProbe(KubeObject, frozen=True, kw_only=True):
    """Probe: one of these, or an ``exec`` that sends no request."""

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    grpc: Grpc | None = None


class SecurityContext(KubeObject, frozen=True, kw_only=True):
    """SecurityContext or PodSecurityContext."""

    run_as_user: int | None = None
    run_as_group: int | None = None


class Container(KubeObject, frozen=True, kw_only=True):
    """Container, init container or ephemeral container."""

    name: str
    image: str = ""
    ports: tuple[Port, ...] | None = None
    env: tuple[Variable, ...] | None = None
    liveness_probe: HealthProbe | None = None
    readiness_probe: HealthProbe | None = None
    startup_probe: HealthProbe | None = None
    security_context: SecurityContext | None = None
    restart_policy: str = ""


class PodSpec(KubeObject, frozen=True, kw_only=True):
    """PodSpec."""

    containers: tuple[Container, ...] | None = None
    init_containers: tuple[Container, ...] | None = None
    ephemeral_containers: tuple[Container, ...] | None = None
    security_context: SecurityContext | None = None


class Waiting(KubeObject, frozen=True, kw_only=True):
    """ContainerStateWaiting."""

    reason: str = ""
    message: str = ""


class Running(KubeObject, frozen=True, kw_only=True):
    """ContainerStateRunning."""


class Terminated(KubeObject, frozen=True, kw_only=True):
    """ContainerStateTerminated."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""


class ContainerState(KubeObject, frozen=True, kw_only=True):
    """ContainerState: at most one of these."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(KubeObject, frozen=True, kw_only=True):
    """ContainerStatus."""

    name: str
    ready: bool = False
    state: ContainerState = ContainerState()
    last_state: ContainerState = ContainerState()


class Condition(KubeObject, frozen=True, kw_only=True):
    """PodCondition."""

    type: str
    status: str
    reason: str = ""
    message: str = ""


class PodStatus(KubeObject, frozen=True, kw_only=True):
    """PodStatus."""

    phase: str = ""
    pod_ip: str = msgspec.field(default="", name="podIP")
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] | None = None
    container_statuses: tuple[ContainerStatus, ...] | None = None
    init_container_statuses: tuple[ContainerStatus, ...] | None = None
    ephemeral_container_statuses: tuple[ContainerStatus, ...] | None = None


class Pod(KubeObject, frozen=True, kw_only=True):
    """Pod."""

    metadata: Metadata
    spec: PodSpec = PodSpec()
    status: PodStatus = PodStatus()

    @property
    def containers(self) -> Sequence[Container]:
        """The ordinary containers."""
        return self.spec.containers or ()

    @property
    def init_containers(self) -> Sequence[Container]:
        """Init containers, native sidecars among them."""
        return self.spec.init_containers or ()

    @property
    def ready(self) -> bool:
        """Whether it serves: condition Ready, and not on its way out."""
        conditions = self.status.conditions or ()
        return self.metadata.deletion_timestamp is None and any(
            condition.type == "Ready" and condition.status == "True" for condition in conditions
        )


class Requirement(KubeObject, frozen=True, kw_only=True):
    """LabelSelectorRequirement."""

    key: str
    operator: str
    values: tuple[str, ...] | None = None


class LabelSelector(KubeObject, frozen=True, kw_only=True):
    """LabelSelector."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[Requirement, ...] | None = None


class WorkloadSpec(KubeObject, frozen=True, kw_only=True):
    """The part that Deployment, StatefulSet, ReplicaSet and DaemonSet have in common."""

    selector: LabelSelector | None = None


class Workload(KubeObject, frozen=True, kw_only=True):
    """Deployment, StatefulSet, ReplicaSet or DaemonSet."""

    metadata: Metadata
    spec: WorkloadSpec = WorkloadSpec()


class ServiceSpec(KubeObject, frozen=True, kw_only=True):
    """ServiceSpec."""

    selector: dict[str, str] | None = None


class Service(KubeObject, frozen=True, kw_only=True):
    """Service."""

    metadata: Metadata
    spec: ServiceSpec = ServiceSpec()


class ListMetadata(KubeObject, frozen=True, kw_only=True):
    """ListMeta."""

    continue_token: str = msgspec.field(default="", name="continue")


class PodList(KubeObject, frozen=True, kw_only=True):
    """PodList."""

    kind: str
    metadata: ListMetadata = ListMetadata()
    items: tuple[Pod, ...] | None = None


class Named(KubeObject, frozen=True, kw_only=True):
    """Any object, of which only the name is wanted."""

    metadata: Metadata


class NamedList(KubeObject, frozen=True, kw_only=True):
    """A list of any kind."""

    kind: str
    items: tuple[Named, ...] | None = None


class ReviewStatus(KubeObject, frozen=True, kw_only=True):
    """SubjectAccessReviewStatus."""

    allowed: bool = False
    reason: str = ""


class AccessReview(KubeObject, frozen=True, kw_only=True):
    """SelfSubjectAccessReview."""

    status: ReviewStatus = ReviewStatus()


class Status(KubeObject, frozen=True, kw_only=True):
    """Status: how an API server explains a refusal."""

    kind: str
    reason: str = ""
    message: str = ""
    code: int = 0
