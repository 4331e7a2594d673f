r"""Bodies in Kubernetes' protobuf, which kubectl's typed commands send (``auth can-i``, ``create namespace``).

A body is ``k8s\0`` and a ``runtime.Unknown`` with kind and bytes. The messages below are those that such commands
create; a message or field that is not in the tables is refused with 415, so nothing is lost unseen. Numbers are those
of the ``generated.proto`` files beside the types in k8s.io/api and k8s.io/apimachinery.
"""

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from kdev.sandbox.api.statuses import Refusal, unsupported_media_type
from kdev.sandbox.api.store import timestamp
from kdev.sandbox.interface import Object

MEDIA_TYPE: Final = "application/vnd.kubernetes.protobuf"
_MAGIC: Final = b"k8s\0"

_Schema = dict[int, tuple[str, str]]
"""Field numbers to JSON names and types: ``string``, ``int``, ``bool``, ``time``, ``map`` (of strings),
``bytesmap``, ``raw``, ``none`` (known and meaningless in a request), or a message's name; ``*`` before it repeats."""


def _named(text: str) -> _Schema:
    """A schema from ``1 name string, 2 labels map``."""
    fields = (field.split() for field in text.split(","))
    return {int(number): (name, kind) for number, name, kind in fields}


_MESSAGES: Final[dict[str, _Schema]] = {
    "Unknown": _named("1 type TypeMeta, 2 raw raw, 3 contentEncoding string, 4 contentType string"),
    "TypeMeta": _named("1 apiVersion string, 2 kind string"),
    "ObjectMeta": _named(
        "1 name string, 2 generateName string, 3 namespace string, 4 selfLink string, 5 uid string, "
        "6 resourceVersion string, 7 generation int, 8 creationTimestamp time, 11 labels map, 12 annotations map, "
        "14 finalizers *string"
    ),
    "Namespace": _named("1 metadata ObjectMeta, 2 spec NamespaceSpec, 3 status none"),
    "NamespaceSpec": _named("1 finalizers *string"),
    "ConfigMap": _named("1 metadata ObjectMeta, 2 data map, 3 binaryData bytesmap, 4 immutable bool"),
    "Secret": _named("1 metadata ObjectMeta, 2 data bytesmap, 3 type string, 4 stringData map, 5 immutable bool"),
    "ServiceAccount": _named("1 metadata ObjectMeta, 4 automountServiceAccountToken bool"),
    "Role": _named("1 metadata ObjectMeta, 2 rules *PolicyRule"),
    "ClusterRole": _named("1 metadata ObjectMeta, 2 rules *PolicyRule"),
    "PolicyRule": _named(
        "1 verbs *string, 2 apiGroups *string, 3 resources *string, 4 resourceNames *string, 5 nonResourceURLs *string"
    ),
    "RoleBinding": _named("1 metadata ObjectMeta, 2 subjects *Subject, 3 roleRef RoleRef"),
    "ClusterRoleBinding": _named("1 metadata ObjectMeta, 2 subjects *Subject, 3 roleRef RoleRef"),
    "Subject": _named("1 kind string, 2 apiGroup string, 3 name string, 4 namespace string"),
    "RoleRef": _named("1 apiGroup string, 2 kind string, 3 name string"),
    "SelfSubjectAccessReview": _named("1 metadata ObjectMeta, 2 spec AccessSpec, 3 status none"),
    "AccessSpec": _named("1 resourceAttributes ResourceAttributes, 2 nonResourceAttributes NonResourceAttributes"),
    "ResourceAttributes": _named(
        "1 namespace string, 2 verb string, 3 group string, 4 version string, 5 resource string, 6 subresource string, "
        "7 name string"
    ),
    "NonResourceAttributes": _named("1 path string, 2 verb string"),
    "SelfSubjectRulesReview": _named("1 metadata ObjectMeta, 2 spec RulesSpec, 3 status none"),
    "RulesSpec": _named("1 namespace string"),
    "SelfSubjectReview": _named("1 metadata ObjectMeta, 2 status none"),
    "TokenRequest": _named("1 metadata ObjectMeta, 2 spec TokenSpec, 3 status none"),
    "TokenSpec": _named("1 audiences *string, 4 expirationSeconds int"),
    "DeleteOptions": _named(
        "1 gracePeriodSeconds int, 2 preconditions Preconditions, 3 orphanDependents bool, 4 propagationPolicy string, "
        "5 dryRun *string"
    ),
    "Preconditions": _named("1 uid string, 2 resourceVersion string"),
    "Eviction": _named("1 metadata ObjectMeta, 2 deleteOptions DeleteOptions"),
    "Deployment": _named("1 metadata ObjectMeta, 2 spec DeploymentSpec, 3 status none"),
    "DeploymentSpec": _named("1 replicas int, 2 selector LabelSelector, 3 template PodTemplate, 4 strategy none"),
    "LabelSelector": _named("1 matchLabels map"),
    "PodTemplate": _named("1 metadata ObjectMeta, 2 spec PodSpec"),
    "PodSpec": _named(
        "2 containers *Container, 3 restartPolicy string, 6 dnsPolicy string, 9 nodeName string, "
        "8 serviceAccountName string, 10 serviceAccount string, 11 hostNetwork bool, 12 hostPID bool, 13 hostIPC bool, "
        "14 securityContext none, 16 hostname string, 17 subdomain string, 19 schedulerName string"
    ),
    "Container": _named(
        "1 name string, 2 image string, 3 command *string, 4 args *string, 5 workingDir string, "
        "6 ports *ContainerPort, 8 resources none, 13 terminationMessagePath string, 14 imagePullPolicy string, "
        "16 stdin bool, 17 stdinOnce bool, 18 tty bool, 20 terminationMessagePolicy string"
    ),
    "ContainerPort": _named("1 name string, 2 hostPort int, 3 containerPort int, 4 protocol string, 5 hostIP string"),
}


def decode(body: bytes) -> Object:
    """An object out of a protobuf body.

    Raises:
        Refusal: 415 for a kind or field that is not in the tables, and for what is no such body.
    """
    if not body.startswith(_MAGIC):
        raise unsupported_media_type(["application/json"])
    try:
        envelope = _message("Unknown", body[len(_MAGIC) :])
        kind = envelope["type"]
        decoded: Object = kind | _message(kind["kind"], envelope["raw"])
    except (KeyError, IndexError, UnicodeDecodeError) as error:
        message = (
            f"the kdev sandbox does not read this in protobuf ({error}); send application/json, as kubectl apply does"
        )
        raise Refusal(415, "UnsupportedMediaType", message) from error
    return decoded


def _message(name: str, data: bytes) -> Object:
    schema, result = _MESSAGES[name], dict[str, Any]()
    for number, value in _fields(data):
        if number not in schema:
            if not value:
                continue  # gogo-protobuf writes what is not set, too
            raise KeyError(f"{name} with field {number}")
        field, kind = schema[number]
        if kind == "none" or (value == b"" and not kind.startswith("*")):
            continue
        if kind.startswith("*"):
            result.setdefault(field, []).append(_value(kind[1:], value))
        elif kind in {"map", "bytesmap"}:
            key, entry = _map_entry(value)
            result.setdefault(field, {})[key] = (
                base64.b64encode(entry).decode() if kind == "bytesmap" else entry.decode()
            )
        else:
            result[field] = _value(kind, value)
    return result


def _value(kind: str, value: Any) -> Any:
    match kind:
        case "string":
            return value.decode()
        case "int":
            return value - (1 << 64) if value >> 63 else value
        case "bool":
            return bool(value)
        case "raw":
            return value
        case "time":
            return timestamp(datetime.fromtimestamp(dict(_fields(value)).get(1, 0), UTC))
        case _:
            return _message(kind, value)


def _map_entry(data: bytes) -> tuple[str, bytes]:
    fields = dict(_fields(data))
    return fields.get(1, b"").decode(), fields.get(2, b"")


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    offset = 0
    while offset < len(data):
        tag, offset = _varint(data, offset)
        match tag & 7:
            case 0:
                value, offset = _varint(data, offset)
                yield tag >> 3, value
            case 2:
                length, offset = _varint(data, offset)
                if offset + length > len(data):
                    raise IndexError("the message is cut short")
                yield tag >> 3, data[offset : offset + length]
                offset += length
            case wire_type:
                raise KeyError(f"wire type {wire_type}")


def _varint(data: bytes, offset: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[offset]
        value |= (byte & 0x7F) << shift
        offset, shift = offset + 1, shift + 7
        if not byte & 0x80:
            return value, offset
        if shift > 63:
            raise IndexError("a number is too long")
