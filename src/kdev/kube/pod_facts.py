"""What the agent is told of the pod it runs in: enough to tell meshes apart, and no secret of the application."""

from kdev.kube.mesh_containers import MESH_CONTAINERS
from kdev.kube.objects import Container, Pod
from kdev.tunnel import messages


def pod_facts(pod: Pod) -> messages.PodFacts:
    """Gather them."""
    containers = [_facts(pod, container, init=True) for container in pod.init_containers]
    containers += [_facts(pod, container, init=False) for container in pod.containers]
    return messages.PodFacts(
        namespace=pod.metadata.namespace,
        name=pod.metadata.name,
        ip=pod.status.pod_ip,
        labels=pod.metadata.labels or {},
        annotations=pod.metadata.annotations or {},
        containers=tuple(containers),
    )


def _facts(pod: Pod, container: Container, *, init: bool) -> messages.Container:
    own, whole = container.security_context, pod.spec.security_context
    return messages.Container(
        name=container.name,
        image=container.image,
        init=init,
        sidecar=init and container.restart_policy == "Always",
        user=next((scope.run_as_user for scope in (own, whole) if scope and scope.run_as_user is not None), None),
        group=next((scope.run_as_group for scope in (own, whole) if scope and scope.run_as_group is not None), None),
        environment=plain_environment(container) if container.name in MESH_CONTAINERS else {},
    )


def plain_environment(container: Container) -> dict[str, str]:
    """The variables whose value stands in the spec."""
    return {variable.name: variable.value for variable in container.env or () if variable.value is not None}
