"""Who shadowed what, and when, as Kubernetes Events on the pod: for whoever looks after the cluster."""

from datetime import UTC, datetime

from kdev.errors import ClusterFailure
from kdev.kube.api import Api, path
from kdev.kube.objects import Named, Pod
from kdev.kube.refusals import NotFound

_MESSAGE_MAX = 1024  # the API server's bound on an Event's message


async def record(api: Api, pod: Pod, reason: str, message: str) -> str | None:
    """Write one Event.

    Returns:
        None, or why it could not be written: an audit line is not worth ending a session for.
    """
    now = datetime.now(UTC)
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": f"{pod.metadata.name[:200]}.kdev-", "namespace": pod.metadata.namespace},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": pod.metadata.name,
            "namespace": pod.metadata.namespace,
            "uid": pod.metadata.uid,
        },
        "type": "Normal",
        "reason": reason,
        "message": message[:_MESSAGE_MAX],
        "source": {"component": "kdev"},
        "firstTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "lastTimestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "count": 1,
    }
    where = path("api", "v1", "namespaces", pod.metadata.namespace, "events")
    try:
        await api.create(where, event, Named, "write an Event")
    except (ClusterFailure, NotFound) as error:
        return str(error)
    return None
