"""Service-account tokens: JSON Web Tokens (RFC 7519) that this server alone signs and checks, hence HS256.

The claims are those of a real cluster's bound tokens, so that whoever reads them finds what they expect.
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

_ISSUER: Final = "https://kubernetes.default.svc.cluster.local"
_HEADER: Final = {"alg": "HS256", "typ": "JWT"}


@dataclass(frozen=True, slots=True)
class Identity:
    """Whom a token speaks for.

    Attributes:
        namespace: The service account's namespace.
        name: Its name.
        uid: Its uid: a token does not outlive the account it was made for.
    """

    namespace: str
    name: str
    uid: str


class Tokens:
    """Signs and checks tokens with a key that lives as long as the server; ``now`` is seconds since the epoch."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._key = secrets.token_bytes(32)

    def issue(self, identity: Identity, lifetime: int, audiences: list[str] | None = None) -> str:
        """A token that is valid from now on for a lifetime in seconds."""
        now = int(self._now())
        account = {"name": identity.name, "uid": identity.uid}
        claims = {
            "aud": audiences or [_ISSUER],
            "exp": now + lifetime,
            "iat": now,
            "nbf": now,
            "iss": _ISSUER,
            "sub": f"system:serviceaccount:{identity.namespace}:{identity.name}",
            "kubernetes.io": {"namespace": identity.namespace, "serviceaccount": account},
        }
        signed = f"{_encode(_HEADER)}.{_encode(claims)}"
        return f"{signed}.{self._signature(signed)}"

    def identify(self, token: str) -> Identity | None:
        """Whom a token speaks for; None when it is not ours, is meant for somebody else, or has expired."""
        signed, _, signature = token.rpartition(".")
        if not hmac.compare_digest(signature.encode(), self._signature(signed).encode()):
            return None
        claims = _decode(signed.partition(".")[2])
        if claims is None or claims["exp"] <= self._now() or _ISSUER not in claims["aud"]:
            return None
        bound = claims["kubernetes.io"]
        return Identity(bound["namespace"], bound["serviceaccount"]["name"], bound["serviceaccount"]["uid"])

    def _signature(self, signed: str) -> str:
        return _base64url(hmac.digest(self._key, signed.encode(), hashlib.sha256))


def _encode(value: dict[str, Any]) -> str:
    return _base64url(json.dumps(value, separators=(",", ":")).encode())


def _decode(text: str) -> dict[str, Any] | None:
    try:
        decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, ValueError):
        return None
    return decoded


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
