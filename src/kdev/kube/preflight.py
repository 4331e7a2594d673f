"""Asking before anything is touched: the user's rights, and whether each pod would admit the agent."""

import asyncio
from collections.abc import Iterator, Sequence

from kdev.errors import ClusterFailure
from kdev.kube.agent_container import AgentSpec
from kdev.kube.api import Api
from kdev.kube.objects import AccessReview, Pod
from kdev.kube.placement import apply
from kdev.kube.refusals import NotFound, rights_missing

RIGHTS = (
    ("get", "pods"),
    ("patch", "pods/ephemeralcontainers"),
    ("get", "pods/portforward"),
    ("create", "pods/portforward"),
)
"""(verb, resource). A WebSocket port-forward is a GET; since Kubernetes 1.35 ``create`` is checked too."""

_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


async def check(api: Api, namespace: str, pods: Sequence[Pod], agent: AgentSpec) -> None:
    """Check the rights, then a dry run of the very patch on every pod.

    Raises:
        ClusterFailure: A right is missing (all of them are named), or an admission refuses the agent.
        TargetFailure: A pod has gone meanwhile.
    """
    answers = await asyncio.gather(*(_may(api, namespace, verb, resource) for verb, resource in RIGHTS))
    missing = [right for right, (allowed, _) in zip(RIGHTS, answers, strict=True) if not allowed]
    if missing:
        reasons = dict.fromkeys(reason for allowed, reason in answers if not allowed and reason)
        raise rights_missing(missing, namespace, "; ".join(reasons) or "SelfSubjectAccessReview: not allowed")
    await asyncio.gather(*(apply(api, pod, agent, dry_run=True) for pod in pods))


async def _may(api: Api, namespace: str, verb: str, resource: str) -> tuple[bool, str]:
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
    return review.status.allowed, review.status.reason


def _attributes(namespace: str, verb: str, resource: str) -> Iterator[tuple[str, str]]:
    name, _, subresource = resource.partition("/")
    yield from (("namespace", namespace), ("verb", verb), ("group", ""), ("resource", name))
    if subresource:
        yield "subresource", subresource
