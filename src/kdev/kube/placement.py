"""Putting the agent into a pod, and watching that its container starts."""

import asyncio

from kdev.errors import AgentFailure, Failure, TargetFailure
from kdev.kube.agent_container import AgentSpec
from kdev.kube.api import Api
from kdev.kube.objects import ContainerState, Pod
from kdev.kube.readiness import trouble
from kdev.kube.refusals import NotFound
from kdev.kube.targets import Kind

STATUS_EVERY = 0.5
"""Seconds. The kubelet itself looks once a second; asking faster sees nothing sooner."""

START_TIMEOUT = 120.0
"""Seconds from the patch to an agent that answers: the node may have to pull the image first."""

_SETTLED = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RunContainerError",
            "CreateContainerConfigError", "CreateContainerError", "CrashLoopBackOff")  # fmt: skip
"""Waiting reasons that do not pass by themselves soon (kubelet, pkg/kubelet/images/types.go, kuberuntime)."""


async def apply(api: Api, pod: Pod, agent: AgentSpec, *, dry_run: bool) -> None:
    """Patch the agent's container into the pod.

    Raises:
        ClusterFailure: An admission or a right refuses it.
        TargetFailure: The pod is gone.
    """
    where = Kind.POD.path(pod.metadata.namespace, pod.metadata.name, "ephemeralcontainers")
    what = f"add the agent's container to pod {pod.metadata.name}"
    try:
        await api.patch(where, agent.patch(), Pod, what, dry_run=dry_run)
    except NotFound as error:
        raise pod_gone(pod, error.message) from error


def pod_gone(pod: Pod, seen: str) -> TargetFailure:
    """The pod was deleted while kdev was at it."""
    return TargetFailure(
        "pod-gone",
        f"Pod {pod.metadata.name} is no longer there",
        seen=seen,
        advice="run the same command again: it will find the pod's successor",
    )


async def agent_state(api: Api, pod: Pod, agent: AgentSpec) -> ContainerState:
    """Where the agent's container stands.

    Raises:
        TargetFailure: The pod is gone.
    """
    try:
        now = await api.get(
            Kind.POD.path(pod.metadata.namespace, pod.metadata.name), Pod, f"get pod {pod.metadata.name}"
        )
    except NotFound as error:
        raise pod_gone(pod, error.message) from error
    if now.metadata.uid != pod.metadata.uid or now.metadata.deletion_timestamp is not None:
        raise pod_gone(pod, "it is being deleted, or was replaced by another of the same name")
    for status in now.status.ephemeral_container_statuses or ():
        if status.name == agent.container:
            return status.state
    return ContainerState()


async def await_start_trouble(api: Api, pod: Pod, agent: AgentSpec) -> Failure:
    """Look at the container until something is wrong with it, and explain that; meant to be cancelled."""
    while True:
        state = await agent_state(api, pod, agent)
        if failure := start_failure(state, pod, agent):
            return failure
        await asyncio.sleep(STATUS_EVERY)


def start_failure(state: ContainerState, pod: Pod, agent: AgentSpec) -> Failure | None:
    """Explain why an agent that does not answer never will; None while it still may."""
    describe = f"see 'kubectl -n {pod.metadata.namespace} describe pod {pod.metadata.name}'"
    if state.waiting is not None and state.waiting.reason in _SETTLED:
        image = "Image" in state.waiting.reason
        return AgentFailure(
            "agent-image" if image else "agent-not-started",
            f"The agent's container does not start in pod {pod.metadata.name}",
            seen=trouble(state),
            advice=f"give an image that the node can pull: --agent-image (now {agent.image})" if image else describe,
        )
    if state.terminated is not None:
        logs = f"kubectl -n {pod.metadata.namespace} logs {pod.metadata.name} -c {agent.container}"
        return AgentFailure(
            "agent-ended",
            f"The agent ended before it could be reached in pod {pod.metadata.name}",
            seen=trouble(state) or f"exit code {state.terminated.exit_code}",
            advice=f"see '{logs}'",
        )
    return None
