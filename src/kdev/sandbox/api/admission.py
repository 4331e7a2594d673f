"""Admission: what stands between a valid request and the store, for pods above all.

In the order of a real API server: the namespace must live, the mesh injects its sidecar (mutating), then the pod's
service account and its Pod Security level are held against what would really run (validating).
"""

from collections.abc import Callable

from kdev.sandbox.api import pod_security, service_account_volumes, statuses
from kdev.sandbox.api.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS, Resource
from kdev.sandbox.api.store import Store
from kdev.sandbox.interface import Object

Inject = Callable[[Object, Object], Object]
"""A mesh's injection webhook: of a pod and its namespace, the pod with its sidecar, or the pod as it was."""


class Admission:
    """Admits objects to namespaces."""

    def __init__(self, store: Store, inject: Inject) -> None:
        self._store = store
        self._inject = inject

    def require_namespace(self, resource: Resource, namespace: str, name: str) -> None:
        """Refuse new objects in a namespace that is not there or about to go.

        Raises:
            Refusal: 404 or 403.
        """
        if self._store.get(NAMESPACES, "", namespace)["status"]["phase"] == "Terminating":
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            raise statuses.forbidden(resource, name, why)

    def mutate_pod(self, pod: Object) -> Object:
        """The pod with the mesh's sidecar, and in all containers the means to talk to the API server."""
        namespace = pod["metadata"]["namespace"]
        pod = self._inject(pod, self._store.get(NAMESPACES, "", namespace))
        account = self._store.find(SERVICE_ACCOUNTS, namespace, pod["spec"].get("serviceAccountName", "default"))
        return service_account_volumes.mounted(pod, account or {})

    def check_pod(self, pod: Object) -> list[str]:
        """Admit a new pod, or one that gets ephemeral containers.

        Returns:
            Warnings for the client.

        Raises:
            Refusal: 403.
        """
        meta, spec = pod["metadata"], pod["spec"]
        account = spec.get("serviceAccountName", "default")
        if self._store.find(SERVICE_ACCOUNTS, meta["namespace"], account) is None:
            where = f"{meta['namespace']}/{account}"
            why = f'error looking up service account {where}: serviceaccount "{account}" not found'
            raise statuses.forbidden(PODS, meta["name"], why)
        labels = self._store.get(NAMESPACES, "", meta["namespace"])["metadata"].get("labels") or {}
        if found := pod_security.violations(labels, pod_security.ENFORCE, spec):
            raise statuses.forbidden(PODS, meta["name"], found)
        found = pod_security.violations(labels, pod_security.WARN, spec)
        return [found.replace("violates", "would violate", 1)] if found else []
