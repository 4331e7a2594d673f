"""Why a pod is not ready, in the cluster's own words."""

from itertools import chain

from kdev.kube.objects import ContainerState, Pod


def why_not_ready(pod: Pod) -> str:
    """Say it in one line: on its way out, a container that waits or has ended, or an unmet condition."""
    name, status = pod.metadata.name, pod.status
    if pod.metadata.deletion_timestamp is not None:
        return f"{name}: being deleted"
    for container in chain(status.init_container_statuses or (), status.container_statuses or ()):
        if reason := trouble(container.state):
            return f"{name}: container {container.name}: {reason}"
    for condition in status.conditions or ():
        if condition.status != "True" and (condition.reason or condition.message):
            return f"{name}: {condition.type} is {condition.status}: {condition.reason} {condition.message}".rstrip()
    return f"{name}: phase {status.phase or 'unknown'} {status.reason} {status.message}".rstrip()


def trouble(state: ContainerState) -> str:
    """What is wrong with a container's state; empty where nothing is, or where it has ended well."""
    if state.waiting is not None and state.waiting.reason:
        return f"{state.waiting.reason} {state.waiting.message}".rstrip()
    if state.terminated is not None and state.terminated.exit_code != 0:
        ended = state.terminated
        return f"{ended.reason or 'ended'} with exit code {ended.exit_code} {ended.message}".rstrip()
    return ""
