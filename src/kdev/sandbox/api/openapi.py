"""As much OpenAPI as kubectl reads before it writes: which patches take ``dryRun`` and ``fieldValidation``.

Current kubectl asks /openapi/v3 (JSON), the 1.20 one /openapi/v2 (protobuf of gnostic's ``openapi.v2.Document``).
Schemas are left out on purpose: without them kubectl leaves validation to the server, which does it strictly.
"""

from collections.abc import Iterable
from typing import Final

from kdev.sandbox.api.resources import ALL, Resource, group_versions
from kdev.sandbox.interface import Object

V2_PROTOBUF: Final = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
"""As clients ask for it; an answer may not say it so, as Go's clients find the ``@`` malformed there."""
V2_PROTOBUF_ANSWER: Final = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_PARAMETERS: Final = ("dryRun", "fieldManager", "fieldValidation", "force")
_GVK: Final = "x-kubernetes-group-version-kind"


def v3_index() -> Object:
    """The answer of /openapi/v3."""
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in map(_prefix, group_versions())}}


def v3(path: str) -> Object | None:
    """The answer of /openapi/v3/PATH."""
    served = [item for item in ALL if _prefix((item.group, item.version)) == path and "patch" in item.verbs]
    if path not in map(_prefix, group_versions()):
        return None
    paths = {_object_path(item): {"patch": _operation(item, "schema")} for item in served}
    info = {"title": "Kubernetes", "version": "unversioned"}
    return {"openapi": "3.0.0", "info": info, "paths": paths, "components": {"schemas": {}}}


def v2() -> Object:
    """The answer of /openapi/v2 as JSON."""
    paths = {_object_path(item): {"patch": _operation(item, "type")} for item in ALL if "patch" in item.verbs}
    return {
        "swagger": "2.0",
        "info": {"title": "Kubernetes", "version": "unversioned"},
        "paths": paths,
        "definitions": {},
    }


def v2_protobuf() -> bytes:
    """The answer of /openapi/v2 as protobuf; field numbers are those of gnostic's OpenAPIv2.proto."""
    paths = b"".join(
        _field(2, _text(1, _object_path(item)) + _field(2, _field(8, _protobuf_operation(item))))
        for item in ALL
        if "patch" in item.verbs
    )
    info = _text(1, "Kubernetes") + _text(2, "unversioned")
    return _text(1, "2.0") + _field(2, info) + _field(8, paths) + _field(9, b"")


def _prefix(group_version: tuple[str, str]) -> str:
    group, version = group_version
    return f"apis/{group}/{version}" if group else f"api/{version}"


def _object_path(resource: Resource) -> str:
    namespace = "/namespaces/{namespace}" if resource.namespaced else ""
    return f"/{_prefix((resource.group, resource.version))}{namespace}/{resource.plural}/{{name}}"


def _operation(resource: Resource, typed: str) -> Object:
    kind = {"schema": {"type": "string"}} if typed == "schema" else {"type": "string"}
    return {
        "parameters": [{"name": name, "in": "query"} | kind for name in _PARAMETERS],
        "responses": {"200": {"description": "OK"}},
        "x-kubernetes-action": "patch",
        _GVK: {"group": resource.group, "version": resource.version, "kind": resource.kind},
    }


def _protobuf_operation(resource: Resource) -> bytes:
    """``Operation``: parameters = 8, responses = 9, vendor_extension = 13."""
    parameters = (
        # ParametersItem.parameter = 1, Parameter.non_body_parameter = 2, .query_parameter_sub_schema = 3
        _field(8, _field(1, _field(2, _field(3, _text(2, "query") + _text(4, name) + _text(6, "string")))))
        for name in _PARAMETERS
    )
    kind = f'{{"group":"{resource.group}","kind":"{resource.kind}","version":"{resource.version}"}}'
    # NamedAny.name = 1, .value = 2; Any.yaml = 2
    extension = _field(13, _text(1, _GVK) + _field(2, _text(2, kind)))
    return _join(parameters) + _field(9, b"") + extension


def _join(parts: Iterable[bytes]) -> bytes:
    return b"".join(parts)


def _text(number: int, value: str) -> bytes:
    return _field(number, value.encode())


def _field(number: int, payload: bytes) -> bytes:
    """A length-delimited protobuf field (wire type 2)."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
