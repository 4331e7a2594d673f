"""JSON Patch (RFC 6902) and JSON Merge Patch (RFC 7386) over JSON values; results are new, inputs untouched."""

import copy
from collections.abc import Sequence
from typing import Any, Final

from kdev.sandbox.api.statuses import Refusal, bad_request

_MAX_OPERATIONS: Final = 10_000
"""As apiserver's: a patch of more operations is an attack or a mistake."""


def merge(target: Any, patch: Any) -> Any:
    """Apply a merge patch: objects merge, null removes, everything else replaces."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def apply(document: Any, operations: Sequence[Any]) -> Any:
    """Apply a list of patch operations in order.

    Raises:
        Refusal: 400 for something that is no operation, 422 for one that does not fit the document.
    """
    if len(operations) > _MAX_OPERATIONS:
        raise Refusal(
            413, "RequestEntityTooLarge", f"The allowed maximum operations in a JSON patch is {_MAX_OPERATIONS}"
        )
    result = copy.deepcopy(document)
    for operation in operations:
        if not isinstance(operation, dict) or not isinstance(operation.get("path"), str):
            raise bad_request("error decoding patch: every operation needs an 'op' and a 'path'")
        try:
            result = _apply_one(result, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            message = f"the server rejected our request due to an error in our request: {operation}: {error}"
            raise Refusal(422, "Invalid", message) from error
    return result


def _apply_one(document: Any, operation: dict[str, Any]) -> Any:
    path = _segments(operation["path"])
    match operation.get("op"):
        case "add":
            return _add(document, path, copy.deepcopy(operation["value"]))
        case "remove":
            return _remove(document, path)
        case "replace":
            _look_up(document, path)
            return _add(_remove(document, path), path, copy.deepcopy(operation["value"]))
        case "move":
            source = _segments(operation["from"])
            value = _look_up(document, source)
            return _add(_remove(document, source), path, value)
        case "copy":
            return _add(document, path, copy.deepcopy(_look_up(document, _segments(operation["from"]))))
        case "test":
            if _look_up(document, path) != operation["value"]:
                raise ValueError("testing path failed")
            return document
        case unknown:
            raise ValueError(f"unexpected kind: {unknown}")


def _segments(pointer: str) -> list[str]:
    if pointer and not pointer.startswith("/"):
        raise ValueError(f"not a JSON pointer: {pointer}")
    return [segment.replace("~1", "/").replace("~0", "~") for segment in pointer.split("/")[1:]]


def _look_up(document: Any, path: Sequence[str]) -> Any:
    for segment in path:
        document = document[_index(segment, len(document) - 1)] if isinstance(document, list) else document[segment]
    return document


def _add(document: Any, path: Sequence[str], value: Any) -> Any:
    if not path:
        return value
    parent, last = _look_up(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        parent.insert(len(parent) if last == "-" else _index(last, len(parent)), value)
    else:
        parent[last] = value
    return document


def _remove(document: Any, path: Sequence[str]) -> Any:
    if not path:
        return None
    parent, last = _look_up(document, path[:-1]), path[-1]
    if isinstance(parent, list):
        del parent[_index(last, len(parent) - 1)]
    else:
        del parent[last]
    return document


def _index(segment: str, highest: int) -> int:
    index = int(segment)
    if not 0 <= index <= highest:
        raise IndexError(f"index {index} is out of range")
    return index
