"""What clients write over HTTP: bodies and query parameters turned into calls of the registry."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from kdev.sandbox.api import decoding, json_patches, protobuf, scale, statuses, strategic_merge
from kdev.sandbox.api.registry import Registry, WriteOptions
from kdev.sandbox.api.requests import RequestInfo
from kdev.sandbox.api.resources import NAMESPACES, PODS, SERVICE_ACCOUNTS
from kdev.sandbox.api.store import Store, timestamp
from kdev.sandbox.api.tokens import Identity, Tokens
from kdev.sandbox.api.watches import Selection, listed
from kdev.sandbox.interface import Object

_PATCHES: Final = (
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
)
_SHORTEST_TOKEN: Final = 600
_LONGEST_TOKEN: Final = 1 << 32


def decode(body: bytes, content_type: str) -> Any:
    """A body in JSON, or in protobuf where that is known.

    Raises:
        Refusal: 415 for another format, 400 for what is no JSON.
    """
    if content_type == protobuf.MEDIA_TYPE:
        return protobuf.decode(body)
    if content_type not in {"application/json", ""}:
        raise statuses.unsupported_media_type(["application/json"])
    return _json(body)


def options_from(query: Mapping[str, str]) -> WriteOptions:
    """How a write is meant.

    Raises:
        Refusal: 400, a parameter has a value that does not exist.
    """
    dry_run, validation = query.get("dryRun", ""), query.get("fieldValidation", "Warn")
    if dry_run not in {"", "All"}:
        raise statuses.bad_request(f'dryRun: Unsupported value: "{dry_run}": supported values: "All"')
    if validation not in {"Strict", "Warn", "Ignore"}:
        message = f'fieldValidation: Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
        raise statuses.bad_request(message)
    return WriteOptions(dry_run=dry_run == "All", strict=validation == "Strict")


def patched(current: Object, body: bytes, content_type: str) -> Any:
    """The result of a patch of any of the three formats.

    Raises:
        Refusal: 400 or 422 for a patch that does not fit.
    """
    patch = _json(body)
    if content_type == "application/json-patch+json":
        if not isinstance(patch, list):
            raise statuses.bad_request("error decoding patch: a JSON patch is a list of operations")
        return json_patches.apply(current, patch)
    if not isinstance(patch, dict):
        raise statuses.bad_request("error decoding patch: a merge patch is an object")
    if content_type == "application/merge-patch+json":
        return json_patches.merge(current, patch)
    return strategic_merge.merge(current, patch)


class Writes:
    """Carries out the writing verbs."""

    def __init__(self, store: Store, registry: Registry, tokens: Tokens) -> None:
        self._store = store
        self._registry = registry
        self._tokens = tokens

    def create(self, info: RequestInfo, body: Any, options: WriteOptions) -> Object:
        """POST to a collection or to a subresource that creates something."""
        if info.subresource == "token":
            return self._token(info, body)
        if info.subresource == "eviction":
            return self._evict(info, body, options)
        return self._registry.create(info.resource, info.namespace, body, options)

    def update(self, info: RequestInfo, body: Any, options: WriteOptions) -> Object:
        """PUT of an object or of a part of it."""
        old = self._store.get(info.resource, info.namespace, info.name)
        return _view(info, self._registry.replace(info.resource, info.subresource, old, body, options))

    def patch(self, info: RequestInfo, body: bytes, content_type: str, options: WriteOptions) -> Object:
        """PATCH of an object or of a part of it.

        Raises:
            Refusal: 415, server-side apply among others; asked first, as that one may be about to create the object.
        """
        if content_type not in _PATCHES:
            raise statuses.unsupported_media_type(_PATCHES)
        old = self._store.get(info.resource, info.namespace, info.name)
        new = patched(_view(info, old), body, content_type)
        return _view(info, self._registry.replace(info.resource, info.subresource, old, new, options))

    def delete(self, info: RequestInfo, body: Any, query: Mapping[str, str], options: WriteOptions) -> Object:
        """DELETE of one object: the object itself while it lingers, else a ``Status``."""
        old = self._store.get(info.resource, info.namespace, info.name)
        grace = _delete_options(info, old, body, query, options)
        if options.dry_run:
            return old
        remaining = self._registry.delete(info.resource, old, grace)
        if remaining is not None:
            return remaining
        details = {"name": info.name, "group": info.resource.group, "kind": info.resource.plural}
        return statuses.success(
            {key: value for key, value in details.items() if value} | {"uid": old["metadata"]["uid"]}
        )

    def delete_all(
        self, info: RequestInfo, selection: Selection, body: Any, query: Mapping[str, str], options: WriteOptions
    ) -> list[Object]:
        """DELETE of a collection; returns what was deleted."""
        if info.resource is NAMESPACES:
            raise statuses.method_not_allowed()
        chosen = listed(self._store, selection)
        for obj in chosen:
            grace = _delete_options(info, obj, body, query, options)
            if not options.dry_run:
                self._registry.delete(info.resource, obj, grace)
        return chosen

    def _evict(self, info: RequestInfo, body: Any, options: WriteOptions) -> Object:
        pod = self._store.get(PODS, info.namespace, info.name)
        delete_options = (body or {}).get("deleteOptions") if isinstance(body, dict) else None
        grace = _delete_options(info, pod, delete_options, {}, options)
        if not options.dry_run:
            self._registry.delete(PODS, pod, grace)
        return statuses.success({}) | {"code": 201}

    def _token(self, info: RequestInfo, body: Any) -> Object:
        account = self._store.get(SERVICE_ACCOUNTS, info.namespace, info.name)
        if not isinstance(body, dict):
            raise statuses.bad_request("the request's body must be a TokenRequest")
        decoding.check("authentication.k8s.io", "TokenRequest", {"spec": {"audiences": []}} | body)
        spec = body.get("spec") or {}
        lifetime = spec.get("expirationSeconds") or 3600
        if not _SHORTEST_TOKEN <= lifetime <= _LONGEST_TOKEN:
            bound = "less than 10 minutes" if lifetime < _SHORTEST_TOKEN else "larger than 2^32 seconds"
            cause = statuses.invalid_value("spec.expirationSeconds", lifetime, f"may not specify a duration {bound}")
            raise statuses.Refusal(422, "Invalid", f'TokenRequest.authentication.k8s.io "" is invalid: {cause}')
        identity = Identity(info.namespace, info.name, account["metadata"]["uid"])
        token = self._tokens.issue(identity, lifetime, spec.get("audiences"))
        until = timestamp(datetime.fromtimestamp(time.time() + lifetime, UTC))
        kind = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": account["metadata"]}
        return kind | {
            "spec": spec | {"expirationSeconds": lifetime},
            "status": {"token": token, "expirationTimestamp": until},
        }


def _view(info: RequestInfo, obj: Object) -> Object:
    return scale.of(obj) if info.subresource == "scale" else obj


def _delete_options(
    info: RequestInfo, obj: Object, body: Any, query: Mapping[str, str], options: WriteOptions
) -> int | None:
    """The grace period, after the preconditions have been held against the object."""
    given = body if isinstance(body, dict) else {}
    if given.get("dryRun"):
        options.dry_run = True
    policy = given.get("propagationPolicy") or query.get("propagationPolicy", "")
    if policy == "Orphan" or given.get("orphanDependents"):
        raise statuses.not_implemented("deleting an object without its dependents (propagationPolicy=Orphan)")
    meta = obj["metadata"]
    for key, value in (given.get("preconditions") or {}).items():
        if meta.get(key) != value:
            label = "UID" if key == "uid" else "ResourceVersion"
            why = f"Precondition failed: {label} in precondition: {value}, {label} in object meta: {meta.get(key)}"
            raise statuses.conflict(info.resource, meta["name"], why)
    text = given.get("gracePeriodSeconds", query.get("gracePeriodSeconds"))
    if text is None:
        return None
    try:
        grace = int(text)
    except (TypeError, ValueError) as error:
        raise statuses.bad_request(f"gracePeriodSeconds: {text!r} is no number") from error
    if grace < 0:
        raise statuses.bad_request("gracePeriodSeconds: Invalid value: must be greater than or equal to 0")
    return grace


def _json(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body) if body else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise statuses.bad_request(f"couldn't get version/kind; json parse error: {error}") from error
