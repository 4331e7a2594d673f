"""The write path of every kind: decode, default, validate, admit, store; the same for dry runs but for the last.

Whoever writes, a client over HTTP or a controller, writes through here.
"""

import copy
from dataclasses import dataclass, field
from uuid import uuid4

from kdev.sandbox.api import decoding, defaults, ephemeral_containers, scale, statuses, validation
from kdev.sandbox.api.addresses import ServiceAddresses
from kdev.sandbox.api.admission import Admission
from kdev.sandbox.api.names import random_suffix
from kdev.sandbox.api.pods import PodLifecycle
from kdev.sandbox.api.resources import DEPLOYMENTS, NAMESPACES, PODS, REPLICA_SETS, SERVICES, Resource
from kdev.sandbox.api.store import Store, timestamp
from kdev.sandbox.interface import Object

_WITH_STATUS = frozenset({"pods", "deployments", "replicasets", "services", "namespaces"})


@dataclass(slots=True)
class WriteOptions:
    """How a write is meant.

    Attributes:
        dry_run: Do everything but store it.
        strict: Refuse unknown fields; otherwise they are dropped from the account with a warning.
        warnings: Filled with what the client should be told besides the answer.
    """

    dry_run: bool = False
    strict: bool = False
    warnings: list[str] = field(default_factory=list)


class Registry:
    """Creates, replaces and deletes objects."""

    def __init__(
        self, store: Store, admission: Admission, lifecycle: PodLifecycle, addresses: ServiceAddresses
    ) -> None:
        self._store = store
        self._admission = admission
        self._lifecycle = lifecycle
        self._addresses = addresses

    def create(self, resource: Resource, namespace: str, body: object, options: WriteOptions | None = None) -> Object:
        """Create an object.

        Raises:
            Refusal: It is malformed, invalid, not admitted, or there already.
        """
        options = options or WriteOptions()
        obj = copy.deepcopy(decoding.check_type(resource, body))
        if resource.plural in _WITH_STATUS:
            obj.pop("status", None)
        self._decode(resource, obj, options)
        self._name(resource, namespace, obj)
        name = obj["metadata"].get("name", "")
        if resource.namespaced:
            self._admission.require_namespace(resource, namespace, name)
        if "spec" in obj:
            obj["metadata"]["generation"] = 1
        defaults.apply(resource, obj)
        if resource is PODS:
            obj = self._admission.mutate_pod(obj)
        validation.validate(resource, obj)
        if resource is PODS:
            options.warnings += self._admission.check_pod(obj)
        if self._store.find(resource, namespace, name) is not None:
            raise statuses.already_exists(resource, name)
        if resource is SERVICES:
            self._addresses.assign(obj, self._store.list(SERVICES))
        if options.dry_run:
            obj["metadata"] |= {"uid": str(uuid4()), "creationTimestamp": timestamp()}
            return obj
        stored = self._store.create(resource, obj)
        return self._lifecycle.start(stored) if resource is PODS else stored

    def replace(
        self, resource: Resource, subresource: str, old: Object, body: object, options: WriteOptions | None = None
    ) -> Object:
        """Replace an object, or the part of it that a subresource is about.

        Args:
            resource: Which kind.
            subresource: ``status``, ``scale``, ``ephemeralcontainers``, or empty for all but the status.
            old: The stored object.
            body: What it should be.
            options: How it is meant.

        Returns:
            The object as stored, also for a scale.

        Raises:
            Refusal: It is malformed, invalid, not admitted, or has changed meanwhile.
        """
        options = options or WriteOptions()
        if subresource == "scale":
            new = scale.applied(resource, old, body)
        else:
            if (
                subresource == "ephemeralcontainers"
                and isinstance(body, dict)
                and body.get("kind") == "EphemeralContainers"
            ):
                body = ephemeral_containers.from_legacy(old, body)
            new = self._replacement(resource, subresource, old, decoding.check_type(resource, body), options)
        if new.get("spec") != old.get("spec") and "generation" in old["metadata"]:
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if options.dry_run:
            given = new["metadata"].get("resourceVersion", old["metadata"]["resourceVersion"])
            if given != old["metadata"]["resourceVersion"]:
                raise statuses.conflict(resource, old["metadata"]["name"])
            return new
        stored = self._store.update(resource, new)
        if resource is PODS and subresource != "status" and stored is not old:
            self._lifecycle.changed(stored, ephemeral_containers.added(old, stored))
        return stored

    def delete(self, resource: Resource, old: Object, grace_seconds: int | None = None) -> Object | None:
        """Delete an object.

        Returns:
            The object when it is still there for a while (pods, namespaces); None when it is gone.
        """
        meta = old["metadata"]
        if resource is PODS:
            return self._lifecycle.delete(old, grace_seconds)
        if resource is NAMESPACES:
            draft = copy.deepcopy(old)
            draft["metadata"].setdefault("deletionTimestamp", timestamp())
            draft["status"]["phase"] = "Terminating"
            return self._store.update(NAMESPACES, draft)
        self._store.delete(resource, meta.get("namespace", ""), meta["name"])
        return None

    def _replacement(
        self, resource: Resource, subresource: str, old: Object, body: Object, options: WriteOptions
    ) -> Object:
        new = copy.deepcopy(body)
        if subresource != "status" and resource.plural in _WITH_STATUS:
            new["status"] = {}
        self._decode(resource, new, options)
        meta = new.setdefault("metadata", {})
        for key in ("name", "namespace"):
            if meta.setdefault(key, old["metadata"].get(key, "")) != old["metadata"].get(key, ""):
                raise statuses.bad_request(f"the {key} of the object does not match the {key} on the URL")
        if not resource.namespaced:
            del meta["namespace"]
        meta |= {key: old["metadata"][key] for key in _KEPT if key in old["metadata"] and key not in meta}
        if subresource == "status":
            kept = copy.deepcopy(old)
            kept["metadata"]["resourceVersion"] = meta.get("resourceVersion", kept["metadata"]["resourceVersion"])
            return kept | {"status": new.get("status", {})}
        if subresource == "ephemeralcontainers":
            new = copy.deepcopy(ephemeral_containers.updated(old, new))
            options.warnings += self._admission.check_pod(new)
            return new
        if resource.plural in _WITH_STATUS:
            new["status"] = copy.deepcopy(old.get("status", {}))
        self._restore_kept_fields(resource, old, new)
        defaults.apply(resource, new)
        validation.validate(resource, new)
        validation.validate_update(resource, old, new)
        return new

    @staticmethod
    def _restore_kept_fields(resource: Resource, old: Object, new: Object) -> None:
        """Fields that the cluster filled in and a writer may leave out."""
        if resource is SERVICES:
            for key in ("clusterIP", "clusterIPs"):
                if key in old["spec"]:
                    new.setdefault("spec", {}).setdefault(key, old["spec"][key])
        if resource in (DEPLOYMENTS, REPLICA_SETS):
            new.setdefault("spec", {}).setdefault("replicas", old["spec"]["replicas"])

    @staticmethod
    def _decode(resource: Resource, obj: Object, options: WriteOptions) -> None:
        unknown = decoding.check(resource.group, resource.kind, obj)
        if unknown and options.strict:
            raise decoding.strict_error(unknown)
        options.warnings += [f'unknown field "{path}"' for path in unknown]

    @staticmethod
    def _name(resource: Resource, namespace: str, obj: Object) -> None:
        meta = obj.setdefault("metadata", {})
        for given in ("uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "generation", "selfLink"):
            meta.pop(given, None)
        if meta.get("namespace", namespace) != namespace:
            raise statuses.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        if resource.namespaced:
            meta["namespace"] = namespace
        if not meta.get("name") and meta.get("generateName"):
            # Kubernetes cuts the base so that the name stays a label's length.
            meta["name"] = meta["generateName"][:58] + random_suffix()


_KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "ownerReferences")
