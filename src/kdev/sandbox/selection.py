"""Which pod, and which of its containers, a command means."""

from collections.abc import Sequence
from typing import Any

from kdev.errors import TargetFailure

Described = dict[str, Any]
"""A pod, or a container, as the status file describes it."""


def choose_pod(pods: Sequence[Described], origin: str) -> Described:
    """The pod that a name means: a pod's, NAMESPACE/POD, a workload's, or a namespace's, of which the first ready one.

    Raises:
        TargetFailure: None, or no running one.
    """
    namespace, slash, name = origin.rpartition("/")
    candidates = [pod for pod in pods if pod["containers"] and (not slash or pod["namespace"] == namespace)]
    exact = [pod for pod in candidates if pod["name"] == name]
    of_workload = [pod for pod in candidates if pod["name"].startswith(f"{name}-")]
    in_namespace = [] if slash else [pod for pod in candidates if pod["namespace"] == name]
    for found in (exact, in_namespace, of_workload):
        if found:
            return max(found, key=lambda pod: (pod["ready"], pod["name"]))
    raise TargetFailure(
        "pod-not-found",
        f'No running pod or namespace "{origin}" is in the sandbox',
        seen="there are: " + (", ".join(f"{pod['namespace']}/{pod['name']}" for pod in pods) or "none"),
        advice="see 'kdev sandbox status'",
    )


def choose_container(pod: Described, name: str, sidecar: str) -> Described:
    """A pod's container of that name; without one, the first that is neither the sidecar nor ephemeral.

    Raises:
        TargetFailure: There is none.
    """
    for container in pod["containers"]:
        if container["name"] == name or (not name and container["name"] != sidecar and not container["ephemeral"]):
            return dict(container)
    raise TargetFailure(
        "container-not-found",
        f'Pod {pod["name"]} has no running container "{name}"' if name else f"Pod {pod['name']} runs no container",
        seen="running: " + (", ".join(container["name"] for container in pod["containers"]) or "none"),
        advice="see 'kdev sandbox status'",
    )
