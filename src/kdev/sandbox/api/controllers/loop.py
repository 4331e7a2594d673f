"""The loop that carries the controllers' plans out.

Level-triggered: any change makes it look at everything again until nothing is left to do. In a cluster of this size
that takes well under a millisecond, and no controller can miss an event.
"""

import asyncio
from typing import Any

from kdev.sandbox.api import events
from kdev.sandbox.api.controllers import deployments, endpoints, replica_sets
from kdev.sandbox.api.controllers.ownership import controller_of
from kdev.sandbox.api.registry import Registry
from kdev.sandbox.api.resources import (
    ALL,
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    NAMESPACES,
    PODS,
    REPLICA_SETS,
    REVIEWS,
    SERVICE_ACCOUNTS,
    SERVICES,
    Resource,
)
from kdev.sandbox.api.statuses import Refusal
from kdev.sandbox.api.store import Change, Store, timestamp
from kdev.sandbox.interface import Object, Runtime, Service


class Controllers:
    """Keeps what is in line with what should be."""

    def __init__(self, store: Store, registry: Registry, node: Runtime, ca_pem: str) -> None:
        self._store = store
        self._registry = registry
        self._node = node
        self._ca_pem = ca_pem
        self._dirty = asyncio.Event()
        self._services: tuple[Service, ...] = ()

    async def run(self) -> None:
        """Reconcile at every change, for ever."""
        self._store.listen(self._changed)
        self._dirty.set()
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            self.reconcile()

    def reconcile(self) -> None:
        """Take one step of every controller."""
        for namespace in self._store.list(NAMESPACES):
            self._namespace(namespace)
        for deployment in self._store.list(DEPLOYMENTS):
            self._deployment(deployment)
        for replica_set in self._store.list(REPLICA_SETS):
            self._replica_set(replica_set)
        self._collect_garbage()
        self._tell_services()

    def _changed(self, change: Change) -> None:
        # An Event follows from what a controller did; it must not wake it again.
        if change.resource is not EVENTS:
            self._dirty.set()

    def _namespace(self, namespace: Object) -> None:
        name = namespace["metadata"]["name"]
        if "deletionTimestamp" in namespace["metadata"]:
            self._empty(name)
            return
        self._ensure(SERVICE_ACCOUNTS, name, "default", {})
        self._ensure(CONFIG_MAPS, name, "kube-root-ca.crt", {"data": {"ca.crt": self._ca_pem}})

    def _empty(self, namespace: str) -> None:
        contents = [
            (resource, obj)
            for resource in ALL
            if resource.namespaced and resource not in REVIEWS
            for obj in self._store.list(resource, namespace)
        ]
        for resource, obj in contents:
            self._registry.delete(resource, obj)
        if not contents:
            self._store.delete(NAMESPACES, "", namespace)

    def _deployment(self, deployment: Object) -> None:
        meta = deployment["metadata"]
        if deployment["spec"].get("paused"):
            return
        plan = deployments.plan(deployment, self._store.list(REPLICA_SETS, meta["namespace"]))
        if plan.create is not None:
            self._registry.create(REPLICA_SETS, meta["namespace"], plan.create)
        self._annotate(REPLICA_SETS, meta["namespace"], plan.newest, plan.revision)
        self._annotate(DEPLOYMENTS, meta["namespace"], meta["name"], plan.revision)
        for name, replicas in plan.scale.items():
            self._scale(deployment, name, replicas)
        for name in plan.delete:
            self._store.delete(REPLICA_SETS, meta["namespace"], name)
        conditions = _timed(plan.status["conditions"], deployment["status"].get("conditions") or [])
        self._set_status(DEPLOYMENTS, deployment, plan.status | {"conditions": conditions})

    def _scale(self, deployment: Object, name: str, replicas: int) -> None:
        namespace = deployment["metadata"]["namespace"]
        draft = self._store.draft(REPLICA_SETS, namespace, name)
        before, draft["spec"]["replicas"] = draft["spec"]["replicas"], replicas
        draft["metadata"]["generation"] += 1
        self._store.update(REPLICA_SETS, draft)
        direction = "up" if replicas > before else "down"
        message = f"Scaled {direction} replica set {name} from {before} to {replicas}"
        events.record(
            self._store, deployment, "Normal", "ScalingReplicaSet", message, component="deployment-controller"
        )

    def _annotate(self, resource: Resource, namespace: str, name: str, revision: str) -> None:
        draft = self._store.draft(resource, namespace, name)
        draft["metadata"].setdefault("annotations", {})[deployments.REVISION] = revision
        self._store.update(resource, draft)

    def _replica_set(self, replica_set: Object) -> None:
        namespace = replica_set["metadata"]["namespace"]
        plan = replica_sets.plan(replica_set, self._store.list(PODS, namespace))
        status = dict(plan.status)
        for template in plan.create:
            try:
                pod = self._registry.create(PODS, namespace, template)
            except Refusal as refusal:
                message = f"Error creating: {refusal.message}"
                events.record(
                    self._store, replica_set, "Warning", "FailedCreate", message, component="replicaset-controller"
                )
                failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate"}
                before = replica_set["status"].get("conditions") or []
                status["conditions"] = _timed([failure | {"message": refusal.message}], before)
                break
            self._tell_pod(replica_set, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        for name in plan.delete:
            self._registry.delete(PODS, self._store.get(PODS, namespace, name))
            self._tell_pod(replica_set, "SuccessfulDelete", f"Deleted pod: {name}")
        self._set_status(REPLICA_SETS, replica_set, status)

    def _tell_pod(self, replica_set: Object, reason: str, message: str) -> None:
        events.record(self._store, replica_set, "Normal", reason, message, component="replicaset-controller")

    def _collect_garbage(self) -> None:
        """Delete what is owned by something that is gone."""
        alive = {
            obj["metadata"]["uid"] for item in (DEPLOYMENTS, REPLICA_SETS, SERVICES) for obj in self._store.list(item)
        }
        served = {item.kind for item in (DEPLOYMENTS, REPLICA_SETS, SERVICES)}
        for resource in (REPLICA_SETS, PODS, ENDPOINT_SLICES):
            for obj in self._store.list(resource):
                owner = controller_of(obj)
                terminating = "deletionTimestamp" in obj["metadata"]
                if owner and owner["kind"] in served and owner["uid"] not in alive and not terminating:
                    self._registry.delete(resource, obj)
        for stale in self._store.list(ENDPOINTS):
            if self._store.find(SERVICES, stale["metadata"]["namespace"], stale["metadata"]["name"]) is None:
                self._registry.delete(ENDPOINTS, stale)

    def _tell_services(self) -> None:
        told = []
        for service in self._store.list(SERVICES):
            meta = service["metadata"]
            if not service["spec"].get("selector"):
                kept = self._store.find(ENDPOINTS, meta["namespace"], meta["name"])
                told.append(endpoints.without_selector(service, kept))
                continue
            plan = endpoints.plan(service, self._store.list(PODS, meta["namespace"]))
            self._put(ENDPOINTS, plan.endpoints)
            self._put(ENDPOINT_SLICES, plan.slice)
            told.append(plan.service)
        if tuple(told) != self._services:
            self._services = tuple(told)
            self._node.set_services(told)

    def _put(self, resource: Resource, wanted: Object) -> None:
        meta = wanted["metadata"]
        known = self._store.find(resource, meta["namespace"], meta["name"])
        if known is None:
            self._store.create(resource, wanted)
        else:
            self._store.update(resource, wanted | {"metadata": known["metadata"] | meta})

    def _ensure(self, resource: Resource, namespace: str, name: str, rest: Object) -> None:
        if self._store.find(resource, namespace, name) is None:
            meta = {"name": name, "namespace": namespace}
            self._store.create(
                resource, {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta} | rest
            )

    def _set_status(self, resource: Resource, obj: Object, status: Object) -> None:
        meta = obj["metadata"]
        draft = self._store.draft(resource, meta["namespace"], meta["name"])
        draft["status"] = status
        self._store.update(resource, draft)


def _timed(conditions: list[Object], before: list[Object]) -> list[Any]:
    """The conditions with the times of their last change: what has not changed keeps its times."""
    timed = []
    for condition in conditions:
        known = next((item for item in before if item["type"] == condition["type"]), {})
        if all(known.get(key) == value for key, value in condition.items()):
            timed.append(known)
            continue
        now = timestamp()
        turned = now if known.get("status") != condition["status"] else known["lastTransitionTime"]
        times = {"lastTransitionTime": turned}
        if condition["type"] != "ReplicaFailure":
            times["lastUpdateTime"] = now
        timed.append(condition | times)
    return timed
