"""The files of volumes that the API server's objects fill: configMap, secret, downwardAPI, and projections of them."""

import base64
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from kdev.sandbox.api.resources import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS, Resource
from kdev.sandbox.api.service_account_volumes import TOKEN_LIFETIME
from kdev.sandbox.api.store import Store
from kdev.sandbox.api.tokens import Identity, Tokens
from kdev.sandbox.interface import Object

_RENEW_AFTER: Final = 0.8
"""Of a token's lifetime, as a kubelet does: whoever read it last has a fifth of it to read it again."""


@dataclass(frozen=True, slots=True)
class _Issued:
    """A pod's token, and until when it is handed out again."""

    token: bytes
    renew_at: float


class Volumes:
    """Looks up what a pod's volumes refer to.

    Args:
        store: Where the objects are.
        tokens: Signs tokens.
        now: Seconds since the epoch.
    """

    def __init__(self, store: Store, tokens: Tokens, now: Callable[[], float] = time.time) -> None:
        self._store = store
        self._tokens = tokens
        self._now = now
        self._issued: dict[str, dict[tuple[str, int], _Issued]] = {}

    def forget(self, uid: str) -> None:
        """Forget a pod's tokens."""
        self._issued.pop(uid, None)

    def files(self, pod: Object, volume: Object) -> dict[str, bytes]:
        """The files of one volume by relative path.

        Raises:
            KeyError: What the volume refers to does not exist and is not optional.
        """
        namespace = pod["metadata"]["namespace"]
        if "configMap" in volume:
            return self._data(CONFIG_MAPS, namespace, volume["configMap"])
        if "secret" in volume:
            source = volume["secret"]
            return self._data(SECRETS, namespace, source | {"name": source.get("secretName", "")})
        if "downwardAPI" in volume:
            return dict(_downward(pod, volume["downwardAPI"].get("items") or ()))
        found: dict[str, bytes] = {}
        for source in volume["projected"].get("sources") or ():
            found |= self._projected(pod, source)
        return found

    def _projected(self, pod: Object, source: Object) -> dict[str, bytes]:
        namespace = pod["metadata"]["namespace"]
        if "configMap" in source:
            return self._data(CONFIG_MAPS, namespace, source["configMap"])
        if "secret" in source:
            return self._data(SECRETS, namespace, source["secret"])
        if "serviceAccountToken" in source:
            return self._token(pod, source["serviceAccountToken"])
        return dict(_downward(pod, source["downwardAPI"].get("items") or ()))

    def _data(self, resource: Resource, namespace: str, source: Object) -> dict[str, bytes]:
        obj = self._store.find(resource, namespace, source["name"])
        if obj is None:
            if source.get("optional"):
                return {}
            raise KeyError(f'{resource.plural} "{source["name"]}" not found')
        encoded = (obj.get("data") if resource is SECRETS else obj.get("binaryData")) or {}
        data = {key: base64.b64decode(value) for key, value in encoded.items()}
        if resource is CONFIG_MAPS:
            data |= {key: value.encode() for key, value in (obj.get("data") or {}).items()}
        items = source.get("items")
        return data if items is None else {item["path"]: data[item["key"]] for item in items}

    def _token(self, pod: Object, source: Object) -> dict[str, bytes]:
        namespace, name = pod["metadata"]["namespace"], pod["spec"].get("serviceAccountName", "default")
        account = self._store.find(SERVICE_ACCOUNTS, namespace, name)
        if account is None:
            raise KeyError(f'serviceaccounts "{name}" not found')
        audience, lifetime = source.get("audience", ""), source.get("expirationSeconds", TOKEN_LIFETIME)
        issued = self._issued.setdefault(pod["metadata"]["uid"], {})
        known = issued.get((audience, lifetime))
        if known is None or known.renew_at <= self._now():
            identity = Identity(namespace, name, account["metadata"]["uid"])
            token = self._tokens.issue(identity, lifetime, [audience] if audience else None)
            known = issued[audience, lifetime] = _Issued(token.encode(), self._now() + _RENEW_AFTER * lifetime)
        return {source["path"]: known.token}


def _downward(pod: Object, items: Iterable[Object]) -> Iterable[tuple[str, bytes]]:
    meta = pod["metadata"]
    for item in items:
        path = (item.get("fieldRef") or {}).get("fieldPath", "").removeprefix("metadata.")
        if path in {"labels", "annotations"}:
            text = "\n".join(f'{key}="{value}"' for key, value in sorted((meta.get(path) or {}).items()))
        else:
            text = str(meta.get(path, ""))
        yield item["path"], text.encode()
