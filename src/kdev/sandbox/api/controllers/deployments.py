"""Deployments: one ReplicaSet per pod template, and a rolling change from the old ones to the newest.

After k8s.io/kubernetes/pkg/controller/deployment; revisions beyond ``revisionHistoryLimit`` are deleted.
"""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from kdev.sandbox.api.controllers.ownership import owned_by, reference_to
from kdev.sandbox.interface import Object

HASH_LABEL: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do for one Deployment.

    Attributes:
        create: The ReplicaSet of a template not seen before; None when it is there.
        scale: ReplicaSets by name, and the replicas they should have.
        delete: Names of ReplicaSets nobody needs any more.
        revision: The revision that the newest ReplicaSet and the Deployment carry.
        newest: Name of the newest ReplicaSet.
        status: The Deployment's new status, without conditions' times.
    """

    create: Object | None
    scale: dict[str, int]
    delete: tuple[str, ...]
    revision: str
    newest: str
    status: Object


def plan(deployment: Object, replica_sets: Sequence[Object]) -> Plan:
    """Compare a Deployment with the ReplicaSets of its namespace."""
    owned = owned_by(deployment, replica_sets)
    template_hash = hash_of(deployment["spec"]["template"])
    name = f"{deployment['metadata']['name']}-{template_hash}"
    new = next((item for item in owned if item["metadata"]["name"] == name), None)
    old = [item for item in owned if item is not new]
    latest_old = max((_revision(item) for item in old), default=0)
    revision = max(_revision(new) if new else 0, latest_old + 1)
    scale: dict[str, int] = {}
    if new is not None:
        scale = _recreate(deployment, new, old) if _recreates(deployment) else _roll(deployment, new, old)
    return Plan(
        create=None if new else _replica_set_of(deployment, name, template_hash),
        scale=scale,
        delete=_beyond_history(deployment, old),
        revision=str(revision),
        newest=name,
        status=_status(deployment, new, owned),
    )


def hash_of(template: Object) -> str:
    """A short name for a pod template, in the letters of Kubernetes' own."""
    digest = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).digest()
    return "".join("bcdfghjklmnpqrstvwxz2456789"[byte % 27] for byte in digest[:9])


def _recreates(deployment: Object) -> bool:
    return bool(deployment["spec"].get("strategy", {}).get("type") == "Recreate")


def _recreate(deployment: Object, new: Object, old: Sequence[Object]) -> dict[str, int]:
    scale = {item["metadata"]["name"]: 0 for item in old if item["spec"]["replicas"]}
    if not scale and not any(item["status"].get("replicas", 0) for item in old):
        scale |= _change(new, deployment["spec"]["replicas"])
    return scale


def _roll(deployment: Object, new: Object, old: Sequence[Object]) -> dict[str, int]:
    wanted = deployment["spec"]["replicas"]
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate") or {}
    surge = _share(rolling.get("maxSurge", "25%"), wanted, round_up=True)
    unavailable = _share(rolling.get("maxUnavailable", "25%"), wanted, round_up=False)
    if surge == unavailable == 0:
        unavailable = 1
    present = new["spec"]["replicas"]
    others = sum(item["spec"]["replicas"] for item in old)
    if present > wanted or not others:
        target = wanted
    else:
        target = min(wanted, present + max(0, wanted + surge - present - others))
    scale = _change(new, target)
    available = sum(item["status"].get("availableReplicas", 0) for item in (new, *old))
    spare = available - (wanted - unavailable)
    for item in sorted(old, key=_revision):
        name, replicas = item["metadata"]["name"], item["spec"]["replicas"]
        broken = max(0, replicas - item["status"].get("availableReplicas", 0))
        drop = min(replicas, broken + max(0, min(spare, replicas - broken)))
        spare -= max(0, drop - broken)
        if drop:
            scale[name] = replicas - drop
    return scale


def _change(replica_set: Object, replicas: int) -> dict[str, int]:
    return {} if replica_set["spec"]["replicas"] == replicas else {replica_set["metadata"]["name"]: replicas}


def _share(value: Any, of: int, *, round_up: bool) -> int:
    if isinstance(value, str) and value.endswith("%"):
        share = of * int(value[:-1]) / 100
        return math.ceil(share) if round_up else math.floor(share)
    return int(value)


def _revision(replica_set: Object) -> int:
    return int((replica_set["metadata"].get("annotations") or {}).get(REVISION, 0))


def _beyond_history(deployment: Object, old: Sequence[Object]) -> tuple[str, ...]:
    idle = [item for item in old if not item["spec"]["replicas"] and not item["status"].get("replicas", 0)]
    surplus = len(idle) - deployment["spec"].get("revisionHistoryLimit", 10)
    return tuple(item["metadata"]["name"] for item in sorted(idle, key=_revision)[: max(0, surplus)])


def _replica_set_of(deployment: Object, name: str, template_hash: str) -> Object:
    spec = deployment["spec"]
    label = {HASH_LABEL: template_hash}
    selector = spec["selector"] | {"matchLabels": (spec["selector"].get("matchLabels") or {}) | label}
    template = spec["template"]
    meta = template["metadata"] | {"labels": (template["metadata"].get("labels") or {}) | label}
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": name,
            "namespace": deployment["metadata"]["namespace"],
            "labels": meta["labels"],
            "ownerReferences": [reference_to(deployment)],
        },
        "spec": {"replicas": 0, "selector": selector, "template": template | {"metadata": meta}},
    }


def _status(deployment: Object, new: Object | None, owned: Sequence[Object]) -> Object:
    wanted = deployment["spec"]["replicas"]
    counts = {
        "replicas": sum(item["status"].get("replicas", 0) for item in owned),
        "updatedReplicas": new["status"].get("replicas", 0) if new else 0,
        "readyReplicas": sum(item["status"].get("readyReplicas", 0) for item in owned),
        "availableReplicas": sum(item["status"].get("availableReplicas", 0) for item in owned),
    }
    counts["unavailableReplicas"] = max(0, max(counts["replicas"], wanted) - counts["availableReplicas"])
    rolling = deployment["spec"].get("strategy", {}).get("rollingUpdate") or {}
    tolerated = _share(rolling.get("maxUnavailable", 0), wanted, round_up=False)
    available = counts["availableReplicas"] >= wanted - tolerated
    complete = counts["updatedReplicas"] == counts["replicas"] == counts["availableReplicas"] == wanted
    return {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        **{key: value for key, value in counts.items() if value},
        "conditions": [
            _condition("Available", held=available, reason=("MinimumReplicasAvailable", "MinimumReplicasUnavailable")),
            _condition(
                "Progressing", held=True, reason=("NewReplicaSetAvailable" if complete else "ReplicaSetUpdated",) * 2
            ),
        ],
    }


def _condition(kind: str, *, held: bool, reason: tuple[str, str]) -> Object:
    message = {
        "MinimumReplicasAvailable": "Deployment has minimum availability.",
        "MinimumReplicasUnavailable": "Deployment does not have minimum availability.",
        "NewReplicaSetAvailable": "The newest ReplicaSet has successfully progressed.",
        "ReplicaSetUpdated": "The newest ReplicaSet is progressing.",
    }
    why = reason[0] if held else reason[1]
    return {"type": kind, "status": str(held), "reason": why, "message": message[why]}
