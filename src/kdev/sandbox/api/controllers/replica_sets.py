"""ReplicaSets: as many active pods as wanted, no more and no fewer."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdev.sandbox.api.controllers.ownership import is_active, is_ready, owned_by, reference_to
from kdev.sandbox.interface import Object


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one ReplicaSet.

    Attributes:
        create: New pods, without names of their own (``generateName``).
        delete: Names of pods to delete.
        status: The ReplicaSet's new status.
    """

    create: tuple[Object, ...]
    delete: tuple[str, ...]
    status: Object


def plan(replica_set: Object, pods: Sequence[Object]) -> Plan:
    """Compare a ReplicaSet with the pods of its namespace."""
    active = [pod for pod in owned_by(replica_set, pods) if is_active(pod)]
    wanted = replica_set["spec"].get("replicas", 1)
    if "deletionTimestamp" in replica_set["metadata"]:
        wanted = 0
    # Those that serve least go first: unready before ready, young before old.
    by_worth = sorted(active, key=lambda pod: (is_ready(pod), -_age_rank(pod)))
    surplus = by_worth[: max(0, len(active) - wanted)]
    ready = sum(is_ready(pod) for pod in active)
    status: Object = {"replicas": len(active), "observedGeneration": replica_set["metadata"].get("generation", 1)}
    if active:
        status |= {"fullyLabeledReplicas": len(active)}
    if ready:
        status |= {"readyReplicas": ready, "availableReplicas": ready}
    missing = max(0, wanted - len(active))
    return Plan(
        create=tuple(_pod_of(replica_set) for _ in range(missing)),
        delete=tuple(pod["metadata"]["name"] for pod in surplus),
        status=status,
    )


def _age_rank(pod: Object) -> int:
    return int(pod["metadata"]["resourceVersion"])


def _pod_of(replica_set: Object) -> Object:
    template = replica_set["spec"]["template"]
    meta = {key: value for key, value in template["metadata"].items() if key in {"labels", "annotations"}}
    name = replica_set["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta
        | {
            "generateName": f"{name}-",
            "namespace": replica_set["metadata"]["namespace"],
            "ownerReferences": [reference_to(replica_set)],
        },
        "spec": template["spec"],
    }
