"""A pod's life between the store and the node: scheduled, started, reported, deleted in good time.

Each pod's orders to the node are given one after the other, in the order of the writes that caused them.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial

from kdev.sandbox.api import events
from kdev.sandbox.api.bootstrap import NODE_NAME
from kdev.sandbox.api.resources import PODS
from kdev.sandbox.api.store import Store, timestamp
from kdev.sandbox.api.volumes import Volumes
from kdev.sandbox.interface import Object, Runtime

_Order = Callable[[], Awaitable[None]]


class PodLifecycle:
    """Gives the node its orders, and is the ``NodeEvents`` that it reports to."""

    def __init__(self, store: Store, node: Runtime, volumes: Volumes, tasks: asyncio.TaskGroup) -> None:
        self._store = store
        self._volumes = volumes
        self._node = node
        self._tasks = tasks
        self._names: dict[str, tuple[str, str]] = {}
        self._orders: dict[str, asyncio.Queue[_Order]] = {}
        self._running: set[asyncio.Task[None]] = set()

    def start(self, pod: Object) -> Object:
        """Bind a stored pod to the node and start it; returns it as bound."""
        meta = pod["metadata"]
        uid = meta["uid"]
        self._names[uid] = (meta["namespace"], meta["name"])
        draft = self._store.draft(PODS, meta["namespace"], meta["name"])
        draft["spec"]["nodeName"] = NODE_NAME
        draft["status"]["conditions"] = [_scheduled()]
        bound = self._store.update(PODS, draft)
        message = f"Successfully assigned {meta['namespace']}/{meta['name']} to {NODE_NAME}"
        events.record(self._store, bound, "Normal", "Scheduled", message, component="default-scheduler")
        self._orders[uid] = asyncio.Queue()
        task = self._tasks.create_task(self._carry_out(uid), name=f"pod {meta['namespace']}/{meta['name']}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        self._order(uid, lambda: self._start_on_node(bound))
        return bound

    def changed(self, pod: Object, new_ephemeral: list[Object]) -> None:
        """Tell the node of a stored pod's new metadata and ephemeral containers."""
        uid = pod["metadata"]["uid"]
        self._order(uid, lambda: self._node.update_pod(pod))
        for container in new_ephemeral:
            self._order(uid, partial(self._start_ephemeral, uid, container))

    def delete(self, pod: Object, grace_seconds: int | None) -> Object:
        """Begin to delete a pod; with a grace period of 0 it leaves the API at once, and the node when it can.

        Returns:
            The pod as it is now: terminating, or as it was last.
        """
        meta = pod["metadata"]
        grace = pod["spec"].get("terminationGracePeriodSeconds", 30) if grace_seconds is None else grace_seconds
        terminating = "deletionTimestamp" in meta
        if terminating and grace >= meta.get("deletionGracePeriodSeconds", 0):
            return pod
        uid = meta["uid"]
        draft = self._store.draft(PODS, meta["namespace"], meta["name"])
        draft["metadata"]["deletionTimestamp"] = timestamp(datetime.now(UTC) + timedelta(seconds=grace))
        draft["metadata"]["deletionGracePeriodSeconds"] = grace
        deleted = self._store.update(PODS, draft)
        if not terminating:
            for container in pod["spec"]["containers"]:
                message = f"Stopping container {container['name']}"
                events.record(self._store, pod, "Normal", "Killing", message, component="kubelet")
        if uid in self._orders:
            self._order(uid, lambda: self._stop_on_node(uid, grace))
        if grace == 0 or uid not in self._orders:
            self._forget(uid, meta["namespace"], meta["name"])
        return deleted

    def close(self) -> None:
        """Give no more orders; what runs on the node goes on running."""
        for task in self._running:
            task.cancel()

    def pod_status(self, uid: str, status: Object) -> None:
        """Take over what the node reports."""
        if uid not in self._names:
            return
        draft = self._store.draft(PODS, *self._names[uid])
        kept = {key: value for key, value in draft["status"].items() if key in {"qosClass", "startTime"}}
        conditions = [item for item in status.get("conditions") or () if item["type"] != "PodScheduled"]
        scheduled = [item for item in draft["status"].get("conditions") or () if item["type"] == "PodScheduled"]
        draft["status"] = kept | status | {"conditions": conditions + scheduled}
        self._store.update(PODS, draft)

    def event(self, uid: str, kind: str, reason: str, message: str) -> None:
        """Record what the node tells about a pod."""
        if uid in self._names:
            pod = self._store.get(PODS, *self._names[uid])
            events.record(self._store, pod, kind, reason, message, component="kubelet")

    def volume_files(self, uid: str, volume: Object) -> dict[str, bytes]:
        """The files of a volume that the store fills; see ``Volumes.files``."""
        return self._volumes.files(self._store.get(PODS, *self._names[uid]), volume)

    def _order(self, uid: str, order: _Order) -> None:
        if uid in self._orders:
            self._orders[uid].put_nowait(order)

    async def _carry_out(self, uid: str) -> None:
        """Give a pod's orders in turn until it has been stopped."""
        orders = self._orders[uid]
        while uid in self._orders:
            await (await orders.get())()

    async def _start_on_node(self, pod: Object) -> None:
        uid = pod["metadata"]["uid"]
        try:
            await self._node.start_pod(pod)
        except (OSError, KeyError) as error:
            self.event(uid, "Warning", "FailedCreatePodSandBox", f"Failed to create pod sandbox: {error}")
            self.pod_status(uid, {"phase": "Failed", "reason": "FailedCreatePodSandBox", "message": str(error)})

    async def _start_ephemeral(self, uid: str, container: Object) -> None:
        try:
            await self._node.start_ephemeral_container(uid, container)
        except (KeyError, OSError) as error:
            message = f"Error: failed to start ephemeral container {container['name']}: {error}"
            self.event(uid, "Warning", "Failed", message)

    async def _stop_on_node(self, uid: str, grace: float) -> None:
        with contextlib.suppress(KeyError):  # a pod that never started there
            await self._node.stop_pod(uid, grace)
        self._orders.pop(uid, None)
        if uid in self._names:
            self._forget(uid, *self._names[uid])

    def _forget(self, uid: str, namespace: str, name: str) -> None:
        self._names.pop(uid, None)
        self._volumes.forget(uid)
        found = self._store.find(PODS, namespace, name)
        if found is not None and found["metadata"]["uid"] == uid:
            self._store.delete(PODS, namespace, name)


def _scheduled() -> Object:
    return {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": timestamp()}
