"""Asking before anything is touched: the user's rights, and whether each pod would admit the agent."""

import asyncio
from collections.abc import Iterator, Sequence

from kdev.errors import ClusterFailure
from kdev.kube.agent_container import AgentSpec
from kdev.kube.api import Api
from kdev.kube.objects import AccessReview, Pod, ReviewStatus
from kdev.kube.placement import apply
from kdev.kube.refusals import NotFound, rights_missing

RIGHTS = (
    ("get", "pods"),
    ("patch", "pods/ephemeralcontainers"),
    ("get", "pods/portforward"),
    ("create", "pods/portforward"),
)
"""(verb, resource). A WebSocket port-forward is a GET; since Kubernetes 1.35 ``create`` is checked too."""

VERIFYING = ("get", "pods/log")
"""What reading the agent's public key takes; a session does without it where it is not granted."""

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def check(api: Api, namespace: str, pods: Sequence[Pod], agent: AgentSpec) -> bool:
    """Check the rights, then a dry run of the very patch on every pod.

    Returns:
        Whether the agents can be verified by their logs.

    Raises:
        ClusterFailure: A right is missing (all of them are named), or an admission refuses the agent.
        TargetFailure: A pod has gone meanwhile.
    """
    asked = (*RIGHTS, VERIFYING)
    answers = await asyncio.gather(*(_may(api, namespace, verb, resource) for verb, resource in asked))
    found = dict(zip(asked, answers, strict=True))
    denied = [right for right in RIGHTS if not found[right].allowed]
    if denied:
        reasons = dict.fromkeys(found[right].reason for right in denied if found[right].reason)
        raise rights_missing(denied, namespace, "; ".join(reasons) or "SelfSubjectAccessReview: not allowed")
    await asyncio.gather(*(apply(api, pod, agent, dry_run=True) for pod in pods))
    return found[VERIFYING].allowed


async def _may(api: Api, namespace: str, verb: str, resource: str) -> ReviewStatus:
    question = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": dict(_attributes(namespace, verb, resource))},
    }
    try:
        review = await api.create(_REVIEWS, question, AccessReview, "tell which rights you have")
    except NotFound as error:
        raise ClusterFailure(
            "access-reviews-missing",
            "The API server does not tell which rights you have",
            seen=error.message,
            advice="kdev needs the API authorization.k8s.io/v1, which every cluster serves since Kubernetes 1.6",
        ) from error
    return review.status


def _attributes(namespace: str, verb: str, resource: str) -> Iterator[tuple[str, str]]:
    name, _, subresource = resource.partition("/")
    yield from (("namespace", namespace), ("verb", verb), ("group", ""), ("resource", name))
    if subresource:
        yield "subresource", subresource
