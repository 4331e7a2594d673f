"""Answers in the form that a client wants: objects and lists as they are, as Tables, or their metadata alone."""

from collections.abc import Mapping

from kdev.sandbox.api import tables
from kdev.sandbox.api.accepts import Form
from kdev.sandbox.api.resources import Resource
from kdev.sandbox.interface import Object


def list_of(resource: Resource, objects: list[Object], meta: Object) -> Object:
    """A list; objects within it carry no kind of their own, as in real lists of built-in kinds."""
    return {
        "kind": f"{resource.kind}List",
        "apiVersion": resource.api_version,
        "metadata": meta,
        "items": [{key: value for key, value in obj.items() if key not in {"kind", "apiVersion"}} for obj in objects],
    }


def shaped(resource: Resource, form: Form, objects: list[Object], query: Mapping[str, str], plain: Object) -> Object:
    """An answer in the wanted form; ``plain`` is the answer as it is, one object or a list of them."""
    is_list = "items" in plain
    meta = plain["metadata"] if is_list else {"resourceVersion": plain["metadata"].get("resourceVersion", "")}
    if form.kind == "Table":
        return tables.table(resource, objects, meta, query.get("includeObject", "Metadata"))
    if form.kind.startswith("PartialObjectMetadata"):
        partial = list(map(tables.partial_metadata, objects))
        kind = {"kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1"}
        return kind | {"metadata": meta, "items": partial} if is_list else partial[0]
    return plain


def shaped_event(resource: Resource, form: Form, event: Object, query: Mapping[str, str]) -> Object:
    """A watch's event in the wanted form."""
    obj = event["object"]
    if form.kind == "Table":
        rows = [] if event["type"] == "BOOKMARK" else [obj]
        meta = {"resourceVersion": obj["metadata"]["resourceVersion"]}
        return event | {"object": tables.table(resource, rows, meta, query.get("includeObject", "Metadata"))}
    if form.kind.startswith("PartialObjectMetadata"):
        return event | {"object": tables.partial_metadata(obj)}
    return event
