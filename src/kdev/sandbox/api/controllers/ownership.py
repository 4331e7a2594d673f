"""Who owns whom: controller references, and the children that a selector and a reference agree on."""

from collections.abc import Sequence

from kdev.sandbox.interface import Object


def reference_to(owner: Object) -> Object:
    """The controller reference that a child carries."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def controller_of(obj: Object) -> Object | None:
    """The reference to the object's controller."""
    references = obj["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def owned_by(owner: Object, candidates: Sequence[Object]) -> list[Object]:
    """The candidates whose controller is the owner."""
    uid = owner["metadata"]["uid"]
    return [child for child in candidates if (controller_of(child) or {}).get("uid") == uid]


def is_ready(pod: Object) -> bool:
    """Whether the pod's Ready condition holds."""
    conditions = pod.get("status", {}).get("conditions") or ()
    return any(condition["type"] == "Ready" and condition["status"] == "True" for condition in conditions)


def is_active(pod: Object) -> bool:
    """Whether the pod counts as one of its owner's replicas: it neither ended nor is being deleted."""
    ended = pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}
    return not ended and "deletionTimestamp" not in pod["metadata"]
