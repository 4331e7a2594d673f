"""The scale subresource: the replicas of a Deployment or ReplicaSet as an ``autoscaling/v1`` Scale."""

import copy

from kdev.sandbox.api import decoding, statuses
from kdev.sandbox.api.resources import Resource
from kdev.sandbox.interface import Object


def of(obj: Object) -> Object:
    """An object's Scale."""
    meta = obj["metadata"]
    kept = {
        key: meta[key] for key in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp") if key in meta
    }
    selector = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    status = {
        "replicas": obj.get("status", {}).get("replicas", 0),
        "selector": ",".join(f"{key}={value}" for key, value in sorted(selector.items())),
    }
    spec = {"replicas": obj["spec"]["replicas"]}
    return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": kept, "spec": spec, "status": status}


def applied(resource: Resource, obj: Object, body: object) -> Object:
    """The object with a Scale's replicas.

    Raises:
        Refusal: 400 or 422.
    """
    if not isinstance(body, dict) or body.get("kind", "Scale") != "Scale":
        raise statuses.bad_request("the object provided is no autoscaling/v1, Kind=Scale")
    decoding.check("autoscaling", "Scale", body)
    replicas = (body.get("spec") or {}).get("replicas", 0)
    if replicas < 0:
        cause = statuses.invalid_value("spec.replicas", replicas, "must be greater than or equal to 0")
        raise statuses.invalid(resource, obj["metadata"]["name"], [cause])
    new = copy.deepcopy(obj)
    new["spec"]["replicas"] = replicas
    new["metadata"]["resourceVersion"] = (body.get("metadata") or {}).get(
        "resourceVersion", obj["metadata"]["resourceVersion"]
    )
    return new
