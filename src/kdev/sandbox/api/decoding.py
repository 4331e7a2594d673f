"""Strict decoding: an object must have its kind's fields, of their types, and no others.

The fields and types are those of ``lightkube-models``, which is generated from Kubernetes' own OpenAPI document.
kubectl leaves this check to the server (``fieldValidation=Strict``), so a misspelt field must be refused here.
"""

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, get_args

import msgspec

from kdev.sandbox.api.resources import Resource
from kdev.sandbox.api.statuses import Refusal, bad_request
from kdev.sandbox.interface import Object

_MODULES: Final = {
    "": "core_v1",
    "apps": "apps_v1",
    "authentication.k8s.io": "authentication_v1",
    "authorization.k8s.io": "authorization_v1",
    "autoscaling": "autoscaling_v1",
    "coordination.k8s.io": "coordination_v1",
    "discovery.k8s.io": "discovery_v1",
    "policy": "policy_v1",
    "rbac.authorization.k8s.io": "rbac_v1",
}


def check(group: str, kind: str, obj: Object) -> list[str]:
    """Hold an object against its kind.

    Returns:
        The unknown fields, as paths such as ``spec.contaners``; what to do about them is fieldValidation's matter.

    Raises:
        Refusal: 400, a field has the wrong type.
    """
    model = _model(group, kind)
    try:
        msgspec.convert(_comparable(obj), model, strict=False)
    except msgspec.ValidationError as error:
        raise bad_request(f'{kind} in version "v1" cannot be handled as a {kind}: json: {error}') from error
    return list(_unknown(obj, model, ""))


def strict_error(unknown: list[str]) -> Refusal:
    """The refusal of unknown fields under ``fieldValidation=Strict``."""
    fields = ", ".join(f'unknown field "{path}"' for path in unknown)
    return bad_request(f"strict decoding error: {fields}")


def check_type(resource: Resource, obj: object) -> Object:
    """Make sure that a body is an object of the resource's kind, or says no kind at all.

    Raises:
        Refusal: 400.
    """
    if not isinstance(obj, dict):
        raise bad_request("the request's body must be a JSON object")
    obj = {"apiVersion": resource.api_version, "kind": resource.kind} | obj
    if obj["kind"] != resource.kind or obj["apiVersion"] != resource.api_version:
        given = f"{obj['apiVersion']}, Kind={obj['kind']}"
        raise bad_request(
            f"the object provided is unrecognized: {given} is not {resource.api_version}, Kind={resource.kind}"
        )
    return obj


@cache
def _model(group: str, kind: str) -> Any:
    module = importlib.import_module(f"lightkube.models.{_MODULES[group]}")
    return getattr(module, kind)


def _comparable(value: Any) -> Any:
    """The value without nulls, which Kubernetes reads as absent."""
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items() if item is not None}
    return [_comparable(item) for item in value] if isinstance(value, list) else value


def _unknown(value: Any, hint: Any, path: str) -> Iterator[str]:
    """Walk a value beside its type; only structs have fields to know."""
    model = _struct(hint)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unknown(item, _element(hint), f"{path}[{index}]")
    elif isinstance(value, dict) and model is not None:
        fields = _fields(model)
        for key, item in value.items():
            inner = f"{path}.{key}" if path else key
            if key in fields:
                yield from _unknown(item, fields[key], inner)
            else:
                yield inner


@cache
def _fields(model: type[msgspec.Struct]) -> dict[str, Any]:
    return {field.encode_name: field.type for field in msgspec.structs.fields(model)}


def _struct(hint: Any) -> type[msgspec.Struct] | None:
    for candidate in (hint, *get_args(hint)):
        if isinstance(candidate, type) and issubclass(candidate, msgspec.Struct):
            return candidate
    return None


def _element(hint: Any) -> Any:
    """The element type of a (possibly optional) list."""
    for candidate in (hint, *get_args(hint)):
        if getattr(candidate, "__origin__", None) is list:
            return get_args(candidate)[0]
    return None
