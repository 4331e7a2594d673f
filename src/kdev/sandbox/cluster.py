"""The sandbox's cluster as its own commands use it: through its API, with its kubeconfig, like any other client."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kdev.errors import LocalFailure, TargetFailure
from kdev.kube.api import Api
from kdev.kube.kubeconfig import read_kubeconfig
from kdev.kube.refusals import NotFound
from kdev.sandbox.interface import Object

Say = Callable[[str], None]

_COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "Service": "/api/v1/namespaces/{namespace}/services",
    "Deployment": "/apis/apps/v1/namespaces/{namespace}/deployments",
}

POLL = 0.1
"""Seconds between looks at what is not ready yet; a look costs the API server a millisecond."""


class Cluster:
    """One sandbox's API."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def apply(self, objects: Sequence[Object]) -> None:
        """Create the objects, or change those that exist.

        Raises:
            ClusterFailure: The API server refused one.
        """
        for item in objects:
            kind, metadata = item["kind"], item["metadata"]
            collection = _COLLECTIONS[kind].format(namespace=metadata.get("namespace", ""))
            path, what = f"{collection}/{metadata['name']}", f"apply {kind} {metadata['name']}"
            try:
                await self._api.get(path, dict[str, Any], what)
            except NotFound:
                await self._api.create(collection, item, dict[str, Any], what)
            else:
                await self._api.patch(path, item, dict[str, Any], what, dry_run=False)

    async def await_available(self, deployments: Sequence[tuple[str, str]], seconds: float, say: Say) -> None:
        """Wait until every pod of these deployments is ready.

        Raises:
            TargetFailure: Some are not within the time.
        """
        waiting = list(deployments)
        deadline = time.monotonic() + seconds
        while waiting:
            for namespace, name in list(waiting):
                if await self._is_available(namespace, name):
                    waiting.remove((namespace, name))
                    say(f"{namespace}/{name} is ready")
            if waiting and time.monotonic() > deadline:
                raise await self._never_available(waiting)
            if waiting:
                await asyncio.sleep(POLL)

    async def _is_available(self, namespace: str, name: str) -> bool:
        path = _COLLECTIONS["Deployment"].format(namespace=namespace) + f"/{name}"
        deployment = await self._api.get(path, dict[str, Any], f"read deployment {name}")
        status, wanted = deployment.get("status") or {}, deployment["spec"].get("replicas", 1)
        observed = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
        current = status.get("updatedReplicas", 0) == wanted == status.get("replicas", 0)
        return bool(observed and current and status.get("availableReplicas", 0) == wanted)

    async def _never_available(self, waiting: Sequence[tuple[str, str]]) -> TargetFailure:
        namespace, name = waiting[0]
        pods = await self._api.get(f"/api/v1/namespaces/{namespace}/pods", dict[str, Any], "list pods")
        seen = "; ".join(_trouble(pod) for pod in pods["items"] if pod["metadata"].get("labels", {}).get("app") == name)
        return TargetFailure(
            "sandbox-not-ready",
            f"{namespace}/{name} does not become ready",
            seen=seen,
            advice=f'look at it: KUBECONFIG="$(kdev sandbox kubeconfig)" kubectl -n {namespace} logs deploy/{name}',
        )


@asynccontextmanager
async def connect(kubeconfig: str) -> AsyncIterator[Cluster]:
    """The cluster behind a kubeconfig.

    Raises:
        LocalFailure: The sandbox has not written one yet.
    """
    if not kubeconfig:
        raise LocalFailure("sandbox-starting", "The sandbox is still starting", advice="try again in a moment")
    async with Api(read_kubeconfig({"KUBECONFIG": kubeconfig}, None)) as api:
        yield Cluster(api)


def _trouble(pod: Object) -> str:
    """One line about a pod that is not ready."""
    status = pod.get("status") or {}
    for container in (*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())):
        waiting = container["state"].get("waiting")
        if waiting or not container["ready"]:
            reason = (waiting or {}).get("reason", "not ready")
            message = (waiting or {}).get("message", "")
            return f"{pod['metadata']['name']}: container {container['name']}: {reason} {message}"
    return f"{pod['metadata']['name']}: {status.get('phase', 'Pending')}"
