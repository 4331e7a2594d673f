"""Questions about oneself: may I, what may I, who am I; asked by ``kubectl auth`` and by kdev's preflight."""

from kdev.sandbox.api import statuses
from kdev.sandbox.api.authentication import User
from kdev.sandbox.api.authorization import Attributes, Authorizer
from kdev.sandbox.api.resources import ACCESS_REVIEWS, RULES_REVIEWS, Resource
from kdev.sandbox.interface import Object


def answer(resource: Resource, body: Object, user: User, authorizer: Authorizer) -> Object:
    """The review with its status.

    Raises:
        Refusal: 400 or 422, it asks for nothing.
    """
    if resource is ACCESS_REVIEWS:
        return body | {"status": _access(body.get("spec") or {}, user, authorizer)}
    if resource is RULES_REVIEWS:
        return body | {"status": _rules((body.get("spec") or {}).get("namespace", ""), user, authorizer)}
    info: Object = {"username": user.name, "groups": list(user.groups)}
    return body | {"status": {"userInfo": info | ({"uid": user.uid} if user.uid else {})}}


def _access(spec: Object, user: User, authorizer: Authorizer) -> Object:
    asked, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if (asked is None) is (path is None):
        detail = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = statuses.invalid_value("spec.resourceAttributes", str(asked), detail)
        raise statuses.invalid(ACCESS_REVIEWS, "", [cause])
    if asked is None:
        return {
            "allowed": authorizer.allows(
                user, Attributes((path or {}).get("verb", ""), path=(path or {}).get("path", ""))
            )
        }
    subresource = f"/{asked['subresource']}" if asked.get("subresource") else ""
    wanted = Attributes(
        asked.get("verb", ""),
        asked.get("group", ""),
        asked.get("resource", "") + subresource,
        asked.get("namespace", ""),
        asked.get("name", ""),
    )
    return {"allowed": authorizer.allows(user, wanted)}


def _rules(namespace: str, user: User, authorizer: Authorizer) -> Object:
    if not namespace:
        raise statuses.bad_request("no namespace on request")
    rules = list(authorizer.rules(user, namespace))
    return {
        "resourceRules": [rule for rule in rules if "resources" in rule],
        "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
        "incomplete": False,
    }
