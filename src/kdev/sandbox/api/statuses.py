"""Refusals as Kubernetes words them: a ``Status`` object with code, reason, message and details.

Clients decide by ``reason`` and ``details``, people by ``message``; the texts are those of apimachinery's
``api/errors`` package, so that what is learnt against the sandbox holds against a real cluster.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kdev.sandbox.interface import Object

if TYPE_CHECKING:
    from kdev.sandbox.api.resources import Resource


@dataclass(frozen=True, slots=True)
class Cause:
    """One field's fault.

    Attributes:
        field: Path of the field, ``spec.containers[0].name``.
        reason: A ``CauseType``: ``FieldValueRequired``, ``FieldValueForbidden`` and their like.
        message: What is wrong, ``Required value``.
    """

    field: str
    reason: str
    message: str

    def __str__(self) -> str:
        return f"{self.field}: {self.message}"


def required(field: str, detail: str = "") -> Cause:
    """The field must be there."""
    return Cause(field, "FieldValueRequired", "Required value" + (f": {detail}" if detail else ""))


def forbidden_field(field: str, detail: str) -> Cause:
    """The field must not be there, or must not change."""
    return Cause(field, "FieldValueForbidden", f"Forbidden: {detail}")


def invalid_value(field: str, value: object, detail: str) -> Cause:
    """The field's value cannot be meant."""
    return Cause(field, "FieldValueInvalid", f"Invalid value: {_quoted(value)}: {detail}")


def duplicate(field: str, value: object) -> Cause:
    """The value must be unique and is not."""
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {_quoted(value)}")


def not_found_value(field: str, value: object) -> Cause:
    """The value names something that is not there."""
    return Cause(field, "FieldValueNotFound", f"Not found: {_quoted(value)}")


def unsupported_value(field: str, value: object, supported: Sequence[str]) -> Cause:
    """The value is none of the few that exist."""
    choices = ", ".join(f'"{choice}"' for choice in sorted(supported))
    message = f"Unsupported value: {_quoted(value)}: supported values: {choices}"
    return Cause(field, "FieldValueNotSupported", message)


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


class Refusal(Exception):  # noqa: N818 - an answer to the client, not a fault of the server
    """A request that is answered with a ``Status`` of kind Failure.

    Attributes:
        code: The HTTP status.
        reason: Kubernetes' machine-readable reason.
        message: What a person reads.
        details: ``Status.details``; may be empty.
    """

    def __init__(self, code: int, reason: str, message: str, details: Object | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def status(self) -> Object:
        """The ``Status`` object for the answer's body."""
        failure = {"status": "Failure", "message": self.message, "reason": self.reason, "code": self.code}
        details = {"details": self.details} if self.details else {}
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}} | failure | details


def success(details: Object) -> Object:
    """The ``Status`` that answers a delete which left nothing to show."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def not_found(resource: "Resource", name: str) -> Refusal:
    """There is no such object."""
    return Refusal(404, "NotFound", f'{resource.qualified} "{name}" not found', _details(resource, name))


def no_such_path() -> Refusal:
    """There is no such resource, or no such path at all."""
    return Refusal(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(resource: "Resource", name: str) -> Refusal:
    """An object of that name is there already."""
    return Refusal(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', _details(resource, name))


def conflict(resource: "Resource", name: str, why: str = "") -> Refusal:
    """The object is not what the writer thought it was."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {why}'
    return Refusal(409, "Conflict", message, _details(resource, name))


def forbidden(resource: "Resource", name: str, why: str) -> Refusal:
    """RBAC or admission says no."""
    subject = f'{resource.qualified} "{name}"' if name else resource.qualified
    return Refusal(403, "Forbidden", f"{subject} is forbidden: {why}", _details(resource, name))


def invalid(resource: "Resource", name: str, causes: Sequence[Cause]) -> Refusal:
    """The object breaks rules of its kind; every broken one is told."""
    text = str(causes[0]) if len(causes) == 1 else "[" + ", ".join(map(str, causes)) + "]"
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    details = {"name": name, "group": resource.group, "kind": resource.kind} | {
        "causes": [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    }
    return Refusal(422, "Invalid", f'{kind} "{name}" is invalid: {text}', details)


def bad_request(message: str) -> Refusal:
    """The request itself cannot be understood."""
    return Refusal(400, "BadRequest", message)


def method_not_allowed() -> Refusal:
    """The resource is there; this verb on it is not."""
    return Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")


def unsupported_media_type(accepted: Sequence[str]) -> Refusal:
    """The body is in a format the sandbox does not read."""
    message = "the body of the request was in an unknown format - accepted media types include: " + ", ".join(accepted)
    return Refusal(415, "UnsupportedMediaType", message)


def not_implemented(what: str) -> Refusal:
    """A real cluster could; the sandbox cannot, and says so."""
    return Refusal(501, "NotImplemented", f"the kdev sandbox does not support {what}")


def unauthorized() -> Refusal:
    """The credentials are not known or no longer valid."""
    return Refusal(401, "Unauthorized", "Unauthorized")


def expired(message: str) -> Refusal:
    """The wanted resource version is no longer remembered; list again."""
    return Refusal(410, "Expired", message)


def _details(resource: "Resource", name: str) -> dict[str, Any]:
    named = {"name": name} if name else {}
    grouped = {"group": resource.group} if resource.group else {}
    return named | grouped | {"kind": resource.plural}
