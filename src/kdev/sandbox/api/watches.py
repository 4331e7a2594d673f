"""Lists and watches: the objects that selectors leave, and every later change to that set."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import uniform
from typing import Final

from kdev.sandbox.api import selectors, statuses
from kdev.sandbox.api.resources import Resource
from kdev.sandbox.api.store import Change, Store
from kdev.sandbox.interface import Object

_MOST_PENDING: Final = 1000
"""Changes that wait for a slow watcher; beyond, its watch ends and it lists again (apiserver does the same)."""
_SHORTEST: Final = 1800.0
"""Seconds that a watch lasts when the client names no time: 30 to 60 minutes, as ``--min-request-timeout``."""
_BOOKMARK_EVERY: Final = 60.0


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects a list or watch is about.

    Attributes:
        resource: Which kind.
        namespace: Empty for all.
        matches: What the selectors say about an object.
    """

    resource: Resource
    namespace: str
    matches: Callable[[Object], bool]

    def has(self, obj: Object | None) -> bool:
        """Whether an object is in the selection."""
        if obj is None or (self.namespace and obj["metadata"].get("namespace") != self.namespace):
            return False
        return self.matches(obj)


def select(resource: Resource, namespace: str, labels: str, fields: str) -> Selection:
    """Compile selectors.

    Raises:
        Refusal: 400, a selector is none.
    """
    by_label = selectors.label_selector(labels)
    by_field = selectors.field_selector(fields, resource.plural)
    return Selection(resource, namespace, lambda obj: by_label(obj) and by_field(obj))


def listed(store: Store, selection: Selection) -> list[Object]:
    """The selection's objects now."""
    return [obj for obj in store.list(selection.resource, selection.namespace) if selection.matches(obj)]


@contextmanager
def watching(
    store: Store, selection: Selection, revision: str, *, timeout: float | None, bookmarks: bool
) -> Iterator[AsyncIterator[Object]]:
    """Watch a selection: the context's value are its changes as watch events.

    Args:
        store: Where they happen.
        selection: Of what.
        revision: After which resourceVersion; empty or ``0`` begins with what is there, as ``ADDED``.
        timeout: Seconds until the watch ends.
        bookmarks: Whether the client wants to be told of revisions without changes.

    Raises:
        Refusal: 400 for a revision that is no number, 410 for one that is no longer remembered.
    """
    pending: asyncio.Queue[Change | None] = asyncio.Queue(_MOST_PENDING)

    def remember(change: Change) -> None:
        if change.resource is selection.resource and pending.qsize() < _MOST_PENDING - 1:
            pending.put_nowait(change)
        elif change.resource is selection.resource and not pending.full():
            pending.put_nowait(None)

    backlog = _backlog(store, selection, revision)
    store.listen(remember)
    try:
        yield _follow(store, selection, backlog, pending, timeout=timeout, bookmarks=bookmarks)
    finally:
        store.unlisten(remember)


def _backlog(store: Store, selection: Selection, revision: str) -> list[Object]:
    if revision in {"", "0"}:
        return [{"type": "ADDED", "object": obj} for obj in listed(store, selection)]
    if not revision.isdecimal():
        raise statuses.bad_request(f'invalid resource version "{revision}"')
    changes = (change for change in store.since(int(revision)) if change.resource is selection.resource)
    events = (_event(selection, change) for change in changes)
    return [event for event in events if event is not None]


async def _follow(
    store: Store,
    selection: Selection,
    backlog: list[Object],
    pending: asyncio.Queue[Change | None],
    *,
    timeout: float | None,  # noqa: ASYNC109 - the API's own parameter, not how long to wait for us
    bookmarks: bool,
) -> AsyncIterator[Object]:
    for event in backlog:
        yield event
    loop = asyncio.get_running_loop()
    end = loop.time() + (uniform(_SHORTEST, 2 * _SHORTEST) if timeout is None else timeout)  # noqa: S311 - spreads load
    while (left := end - loop.time()) > 0:
        try:
            async with asyncio.timeout(min(left, _BOOKMARK_EVERY)):
                change = await pending.get()
        except TimeoutError:
            if bookmarks:
                yield _bookmark(store, selection.resource)
            continue
        if change is None:
            return
        seen = _event(selection, change)
        if seen is not None:
            yield seen


def _event(selection: Selection, change: Change) -> Object | None:
    """A change as the selection sees it: what no longer matches has gone, what begins to match is new."""
    was, is_now = selection.has(change.before), change.kind != "DELETED" and selection.has(change.object)
    if is_now:
        return {"type": "MODIFIED" if was else "ADDED", "object": change.object}
    return {"type": "DELETED", "object": change.object} if was else None


def _bookmark(store: Store, resource: Resource) -> Object:
    meta = {"resourceVersion": str(store.revision), "creationTimestamp": None}
    obj = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": meta}
    return {"type": "BOOKMARK", "object": obj}
