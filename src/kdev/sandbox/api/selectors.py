"""Label and field selectors: ``app=web,tier in (a, b),!legacy`` and ``metadata.name=web-0,status.phase!=Running``."""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from kdev.sandbox.api.statuses import bad_request
from kdev.sandbox.interface import Object

_SET: Final = re.compile(r"^(?P<key>\S+)\s+(?P<operator>in|notin)\s+\((?P<values>[^()]*)\)$")
_EQUALITY: Final = re.compile(r"^(?P<key>[^=!\s]+)\s*(?P<operator>==|=|!=)\s*(?P<value>[^=!\s]*)$")
_EXISTENCE: Final = re.compile(r"^(?P<negation>!?)\s*(?P<key>[\w./-]+)$")
_COMMA_OUTSIDE_BRACKETS: Final = re.compile(r",(?![^()]*\))")

_FIELDS: Final = {
    "pods": "spec.nodeName spec.restartPolicy spec.schedulerName spec.serviceAccountName spec.hostNetwork status.phase "
    "status.podIP status.nominatedNodeName",
    "events": "involvedObject.kind involvedObject.namespace involvedObject.name involvedObject.uid "
    "involvedObject.apiVersion involvedObject.resourceVersion involvedObject.fieldPath reason reportingComponent "
    "source type",
    "namespaces": "status.phase",
    "replicasets": "status.replicas",
    "secrets": "type",
    "nodes": "spec.unschedulable",
}
"""Fields that may be selected besides metadata.name and metadata.namespace (each kind's ``SelectableFields``)."""


def label_selector(text: str) -> Callable[[Object], bool]:
    """Compile a label selector into a test of objects.

    Raises:
        Refusal: 400, the text is none.
    """
    tests = [_label_test(part.strip(), text) for part in _COMMA_OUTSIDE_BRACKETS.split(text) if part.strip()]

    def matches(obj: Object) -> bool:
        labels = obj.get("metadata", {}).get("labels") or {}
        return all(test(labels) for test in tests)

    return matches


def _label_test(part: str, text: str) -> Callable[[Mapping[str, str]], bool]:
    if found := _SET.match(part):
        key, values = found["key"], frozenset(value.strip() for value in found["values"].split(","))
        if found["operator"] == "in":
            return lambda labels: labels.get(key) in values
        return lambda labels: labels.get(key) not in values
    if found := _EQUALITY.match(part):
        key, value = found["key"], found["value"]
        if found["operator"] == "!=":
            return lambda labels: labels.get(key) != value
        return lambda labels: labels.get(key) == value
    if found := _EXISTENCE.match(part):
        key, wanted = found["key"], not found["negation"]
        return lambda labels: (key in labels) is wanted
    raise bad_request(f'unable to parse requirement: found "{part}" in label selector "{text}"')


def field_selector(text: str, plural: str) -> Callable[[Object], bool]:
    """Compile a field selector for objects of a resource.

    Raises:
        Refusal: 400, the text is none or names a field that cannot be selected.
    """
    tests: list[tuple[str, bool, str]] = []
    for part in filter(None, text.split(",")):
        found = _EQUALITY.match(part.strip())
        if found is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if found["key"] not in ("metadata.name", "metadata.namespace", *_FIELDS.get(plural, "").split()):
            raise bad_request(f"field label not supported: {found['key']}")
        tests.append((found["key"], found["operator"] != "!=", found["value"]))
    return lambda obj: all((_field(obj, path) == value) is wanted for path, wanted, value in tests)


def _field(obj: Object, path: str) -> str:
    value: Any = obj
    for segment in path.split("."):
        value = value.get(segment, "") if isinstance(value, dict) else ""
    if isinstance(value, bool):
        return str(value).lower()
    # An Event's source is selected by its component.
    return str(value.get("component", "")) if isinstance(value, dict) else str(value)


def matches_labels(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether labels meet a ``LabelSelector`` object (matchLabels and matchExpressions)."""
    if any(labels.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_expression_holds(expression, labels) for expression in selector.get("matchExpressions") or ())


def _expression_holds(expression: Object, labels: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case _:
            return key not in labels
