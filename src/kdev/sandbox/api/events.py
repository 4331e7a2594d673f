"""Kubernetes Events: what happened to an object, counted when it happens again."""

from typing import Final
from uuid import uuid4

from kdev.sandbox.api.resources import EVENTS
from kdev.sandbox.api.store import Store, timestamp
from kdev.sandbox.interface import Object

_MOST: Final = 1000
"""Events kept. A real cluster forgets them after an hour; a crash-looping pod must not fill the memory before that."""


def record(store: Store, about: Object, kind: str, reason: str, message: str, *, component: str) -> None:
    """Record an Event.

    Args:
        store: Where to.
        about: The object it happened to.
        kind: ``Normal`` or ``Warning``.
        reason: One word, ``Scheduled``.
        message: What a person reads.
        component: Who tells: ``kubelet``, ``replicaset-controller``.
    """
    meta = about["metadata"]
    namespace = meta.get("namespace", "default")
    now = timestamp()
    for known in store.list(EVENTS, namespace):
        same = known["involvedObject"].get("uid") == meta["uid"] and known["source"].get("component") == component
        if same and known["reason"] == reason and known["message"] == message:
            store.update(EVENTS, known | {"count": known["count"] + 1, "lastTimestamp": now})
            return
    involved = {
        "kind": about["kind"],
        "namespace": meta.get("namespace", ""),
        "name": meta["name"],
        "uid": meta["uid"],
        "apiVersion": about["apiVersion"],
        "resourceVersion": meta.get("resourceVersion", ""),
    }
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{meta['name']}.{uuid4().hex[:16]}", "namespace": namespace},
        "involvedObject": involved,
        "reason": reason,
        "message": message,
        "source": {"component": component},
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
        "type": kind,
        "eventTime": None,
        "reportingComponent": component,
        "reportingInstance": "",
    }
    store.create(EVENTS, event)
    _forget_oldest(store)


def _forget_oldest(store: Store) -> None:
    events = store.list(EVENTS)
    if len(events) > _MOST:
        oldest = min(events, key=lambda event: int(event["metadata"]["resourceVersion"]))
        store.delete(EVENTS, oldest["metadata"]["namespace"], oldest["metadata"]["name"])
