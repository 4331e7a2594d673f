"""The objects, in memory: one revision counter, optimistic concurrency, and a history that watches resume from.

Everything runs on one loop and no method awaits, so each call is a transaction. Objects handed out are the stored
ones: readers must not change them, writers start from ``draft``.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import uuid4

from kdev.sandbox.api import statuses
from kdev.sandbox.api.resources import Resource
from kdev.sandbox.interface import Object

_HISTORY: Final = 4096
"""Changes remembered for watches that resume: etcd keeps five minutes' worth; this is minutes of a busy sandbox."""


def timestamp(moment: datetime | None = None) -> str:
    """A moment (now, when none is given) as ``metav1.Time`` writes it."""
    return (moment or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Change:
    """One step of the history.

    Attributes:
        revision: The store's revision after it.
        kind: ``ADDED``, ``MODIFIED`` or ``DELETED``.
        resource: Which kind of object.
        object: The object after it; for ``DELETED``, as it was last, with the deletion's resourceVersion.
        before: The object before it; None for ``ADDED``.
    """

    revision: int
    kind: str
    resource: Resource
    object: Object
    before: Object | None


Listener = Callable[[Change], None]


class Store:
    """All objects of the cluster."""

    def __init__(self) -> None:
        self.revision = 1
        self._objects: dict[tuple[str, str], dict[tuple[str, str], Object]] = {}
        self._history: deque[Change] = deque(maxlen=_HISTORY)
        self._listeners: list[Listener] = []

    def get(self, resource: Resource, namespace: str, name: str) -> Object:
        """The object.

        Raises:
            Refusal: 404.
        """
        found = self.find(resource, namespace, name)
        if found is None:
            raise statuses.not_found(resource, name)
        return found

    def find(self, resource: Resource, namespace: str, name: str) -> Object | None:
        """The object, or None."""
        return self._of(resource).get((namespace, name))

    def draft(self, resource: Resource, namespace: str, name: str) -> Object:
        """A copy of the object to change and hand to ``update``."""
        return copy.deepcopy(self.get(resource, namespace, name))

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        """All objects of a kind, of one namespace or of all, by namespace and name."""
        items = sorted(self._of(resource).items())
        return [obj for (where, _), obj in items if not namespace or where == namespace]

    def create(self, resource: Resource, obj: Object) -> Object:
        """Store a new object under a uid, a creation time and the next revision.

        Raises:
            Refusal: 409, the name is taken.
        """
        obj = copy.deepcopy(obj)
        key = _key(obj)
        if key in self._of(resource):
            raise statuses.already_exists(resource, key[1])
        meta = obj["metadata"]
        meta.setdefault("uid", str(uuid4()))
        meta.setdefault("creationTimestamp", timestamp())
        return self._put("ADDED", resource, obj, None)

    def update(self, resource: Resource, obj: Object) -> Object:
        """Replace an object; one that is equal already stays at its revision, as etcd's no-op writes do.

        Raises:
            Refusal: 404, or 409 when the given resourceVersion is not the stored one.
        """
        obj = copy.deepcopy(obj)
        namespace, name = _key(obj)
        before = self.get(resource, namespace, name)
        current = before["metadata"]["resourceVersion"]
        if obj["metadata"].get("resourceVersion", current) != current:
            raise statuses.conflict(resource, name)
        obj["metadata"]["resourceVersion"] = current
        if obj == before:
            return before
        return self._put("MODIFIED", resource, obj, before)

    def delete(self, resource: Resource, namespace: str, name: str) -> Object:
        """Take an object out.

        Raises:
            Refusal: 404.
        """
        before = self.get(resource, namespace, name)
        self.revision += 1
        last = copy.deepcopy(before)
        last["metadata"]["resourceVersion"] = str(self.revision)
        del self._of(resource)[namespace, name]
        self._tell(Change(self.revision, "DELETED", resource, last, before))
        return last

    def listen(self, listener: Listener) -> None:
        """Call a function with every change from now on, within the transaction: it must not block or write."""
        self._listeners.append(listener)

    def unlisten(self, listener: Listener) -> None:
        """Stop calling it."""
        self._listeners.remove(listener)

    def since(self, revision: int) -> Iterator[Change]:
        """The changes after a revision.

        Raises:
            Refusal: 410, the history does not reach back that far.
        """
        oldest = self._history[0].revision if self._history else self.revision + 1
        if revision + 1 < oldest:
            raise statuses.expired(f"too old resource version: {revision} ({oldest})")
        return iter([change for change in self._history if change.revision > revision])

    def _of(self, resource: Resource) -> dict[tuple[str, str], Object]:
        return self._objects.setdefault((resource.group, resource.plural), {})

    def _put(self, kind: str, resource: Resource, obj: Object, before: Object | None) -> Object:
        self.revision += 1
        obj["metadata"]["resourceVersion"] = str(self.revision)
        self._of(resource)[_key(obj)] = obj
        self._tell(Change(self.revision, kind, resource, obj, before))
        return obj

    def _tell(self, change: Change) -> None:
        self._history.append(change)
        for listener in tuple(self._listeners):
            listener(change)


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]
