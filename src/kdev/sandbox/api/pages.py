"""Long lists in pieces: ``limit`` and ``continue``.

A real API server answers all pieces from one snapshot. Here a later piece shows its objects as they are by then, but
every piece carries the first one's resourceVersion: a watch from there replays what the pieces may have mixed.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kdev.sandbox.api import statuses
from kdev.sandbox.interface import Object


@dataclass(frozen=True, slots=True)
class Page:
    """One piece of a list.

    Attributes:
        objects: The piece.
        meta: The list's metadata: revision, and how to go on.
    """

    objects: list[Object]
    meta: Object


def page(objects: Sequence[Object], query: Mapping[str, str], revision: int) -> Page:
    """The piece that a request asks for.

    Args:
        objects: All that the selectors leave, by namespace and name.
        query: The request's parameters.
        revision: The store's.

    Raises:
        Refusal: 400 for a limit that is no number or a token that is none of ours.
    """
    limit = query.get("limit", "0")
    if not limit.isdecimal():
        raise statuses.bad_request(f'limit: Invalid value: "{limit}": must be a number')
    after, revision = _decode(query["continue"]) if query.get("continue") else (None, revision)
    rest = [obj for obj in objects if after is None or _key(obj) > after]
    piece = rest[: int(limit)] if int(limit) else rest
    meta: Object = {"resourceVersion": str(revision)}
    if len(piece) < len(rest):
        meta["continue"] = _encode(_key(piece[-1]), revision)
        if not (query.get("labelSelector") or query.get("fieldSelector")):
            meta["remainingItemCount"] = len(rest) - len(piece)
    return Page(piece, meta)


def _key(obj: Object) -> tuple[str, str]:
    return obj["metadata"].get("namespace", ""), obj["metadata"]["name"]


def _encode(last: tuple[str, str], revision: int) -> str:
    return base64.urlsafe_b64encode(json.dumps([*last, revision]).encode()).decode()


def _decode(token: str) -> tuple[tuple[str, str], int]:
    try:
        namespace, name, revision = json.loads(base64.urlsafe_b64decode(token))
        return (str(namespace), str(name)), int(revision)
    except (binascii.Error, ValueError, TypeError) as error:
        raise statuses.bad_request(f"continue key is not valid: {error}") from error
