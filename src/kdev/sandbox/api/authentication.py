"""Who sends a request: a client certificate, a service account's token, or nobody in particular."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from kdev.sandbox.api import statuses
from kdev.sandbox.api.resources import SERVICE_ACCOUNTS
from kdev.sandbox.api.store import Store
from kdev.sandbox.api.tokens import Tokens

_AUTHENTICATED: Final = "system:authenticated"


@dataclass(frozen=True, slots=True)
class User:
    """The sender of a request.

    Attributes:
        name: As RBAC's subjects name it.
        groups: Its groups.
        uid: A service account's uid; empty for others.
    """

    name: str
    groups: tuple[str, ...]
    uid: str = ""

    @property
    def is_admin(self) -> bool:
        """Whether RBAC is not asked at all."""
        return "system:masters" in self.groups


ANONYMOUS: Final = User("system:anonymous", ("system:unauthenticated",))


def authenticate(
    authorization: str | None, certificate: Mapping[str, Any] | None, store: Store, tokens: Tokens
) -> User:
    """Find out who sends a request.

    Args:
        authorization: The ``Authorization`` header.
        certificate: The verified peer certificate as ``ssl`` decodes it.
        store: Where service accounts are.
        tokens: Who signed their tokens.

    Raises:
        Refusal: 401 for credentials that are none of ours or have expired.
    """
    if certificate:
        return _from_certificate(certificate)
    if not authorization:
        return ANONYMOUS
    scheme, _, token = authorization.partition(" ")
    identity = tokens.identify(token.strip()) if scheme.lower() == "bearer" else None
    if identity is None:
        raise statuses.unauthorized()
    account = store.find(SERVICE_ACCOUNTS, identity.namespace, identity.name)
    if account is None or account["metadata"]["uid"] != identity.uid:
        raise statuses.unauthorized()
    return service_account(identity.namespace, identity.name, identity.uid)


def service_account(namespace: str, name: str, uid: str = "") -> User:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", _AUTHENTICATED)
    return User(f"system:serviceaccount:{namespace}:{name}", groups, uid)


def impersonated(name: str, groups: tuple[str, ...]) -> User:
    """The user that ``kubectl --as`` asks to be."""
    parts = name.split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4 and not groups:
        return service_account(parts[2], parts[3])
    return User(name, tuple(dict.fromkeys((*groups, _AUTHENTICATED))))


def _from_certificate(certificate: Mapping[str, Any]) -> User:
    attributes = [pair for rdn in certificate["subject"] for pair in rdn]
    names = [value for key, value in attributes if key == "commonName"]
    groups = tuple(value for key, value in attributes if key == "organizationName")
    return User(names[0], (*groups, _AUTHENTICATED))
