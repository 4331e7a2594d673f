"""From what the user typed to the pods that serve it.

::

    target = [ kind "/" ] name          ; kind: deploy, sts, rs, ds, svc, pod; long names and plurals too

A workload or a service stands for all of its ready pods. A bare name is looked for as a deployment, then as a
stateful set, a daemon set and a pod.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum

from kdev.errors import Failure, TargetFailure, UsageFailure
from kdev.kube.api import PAGE, Api, path
from kdev.kube.objects import LabelSelector, NamedList, Pod, PodList, Service, Workload
from kdev.kube.readiness import why_not_ready
from kdev.kube.refusals import NotFound

MAX_PODS = 32
"""Pods of one target that a session shadows; each costs a tunnel, and a laptop serves no more than a few."""


class Kind(Enum):
    """A kind of target: API prefix, plural, and what it may be called."""

    DEPLOYMENT = ("apis/apps/v1", "deployments", ("deploy", "deployment"))
    STATEFUL_SET = ("apis/apps/v1", "statefulsets", ("sts", "statefulset"))
    DAEMON_SET = ("apis/apps/v1", "daemonsets", ("ds", "daemonset"))
    REPLICA_SET = ("apis/apps/v1", "replicasets", ("rs", "replicaset"))
    SERVICE = ("api/v1", "services", ("svc", "service"))
    POD = ("api/v1", "pods", ("po", "pod"))

    def __init__(self, prefix: str, plural: str, names: tuple[str, ...]) -> None:
        self.prefix = prefix
        self.plural = plural
        self.names = names

    @property
    def short(self) -> str:
        """How kdev writes it."""
        return "pod" if self is Kind.POD else self.names[0]

    def path(self, namespace: str, *rest: str) -> str:
        """The path of its objects in a namespace."""
        return path(*self.prefix.split("/"), "namespaces", namespace, self.plural, *rest)


_BY_NAME = {name: kind for kind in Kind for name in (*kind.names, kind.plural)}
_BARE = (Kind.DEPLOYMENT, Kind.STATEFUL_SET, Kind.DAEMON_SET, Kind.POD)
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")  # DNS subdomain, RFC 1123
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # DNS label


@dataclass(frozen=True, slots=True)
class Target:
    """What was typed; ``kind`` is None for a bare name."""

    kind: Kind | None
    name: str

    def __str__(self) -> str:
        return f"{self.kind.short}/{self.name}" if self.kind else self.name


def parse_target(text: str) -> Target:
    """Read a target.

    Raises:
        UsageFailure: It is not one.
    """
    kind_name, slash, name = text.rpartition("/")
    kind = _BY_NAME.get(kind_name.lower())
    if slash and kind is None:
        raise UsageFailure(
            "target-kind",
            f"kdev does not shadow a '{kind_name}'",
            seen=text,
            advice=f"write KIND/NAME with one of {', '.join(kind.short for kind in Kind)}",
        )
    if not _NAME.fullmatch(name):
        raise UsageFailure(
            "target-name",
            f"'{name}' is no name of a Kubernetes object",
            seen=text,
            advice="write for example deploy/checkout; names have small letters, digits, '-' and '.'",
        )
    return Target(kind, name)


def check_namespace(name: str) -> str:
    """Return a namespace's name.

    Raises:
        UsageFailure: It is not one.
    """
    if not _NAMESPACE.fullmatch(name):
        raise UsageFailure(
            "namespace-name",
            f"'{name}' is no name of a namespace",
            seen=name,
            advice="see 'kubectl get namespaces'",
        )
    return name


@dataclass(frozen=True, slots=True)
class Resolved:
    """A target that is there, with its ready pods."""

    kind: Kind
    name: str
    namespace: str
    pods: tuple[Pod, ...]

    def __str__(self) -> str:
        return f"{self.kind.short}/{self.name}"


async def resolve(api: Api, target: Target, namespace: str) -> Resolved:
    """Find the target and its ready pods.

    Raises:
        TargetFailure: It is not there, selects nothing, or has no ready pod.
        ClusterFailure: The API server refused or could not be reached.
    """
    for kind in (target.kind,) if target.kind else _BARE:
        try:
            pods = await _pods_of(api, kind, target.name, namespace)
        except NotFound:
            continue
        return Resolved(kind, target.name, namespace, _ready_ones(pods, f"{kind.short}/{target.name}", namespace))
    raise await _not_found(api, target, namespace)


async def _pods_of(api: Api, kind: Kind, name: str, namespace: str) -> Sequence[Pod]:
    what = f"get {kind.plural} in namespace {namespace}"
    where = kind.path(namespace, name)
    if kind is Kind.POD:
        return [await api.get(where, Pod, what)]
    if kind is Kind.SERVICE:
        service = await api.get(where, Service, what)
        selector = LabelSelector(match_labels=service.spec.selector)
    else:
        workload = await api.get(where, Workload, what)
        selector = workload.spec.selector or LabelSelector()
    text = selector_text(selector)
    if not text:
        raise TargetFailure(
            "target-selects-nothing",
            f"{kind.short}/{name} selects no pods by label",
            seen="its selector is empty",
            advice="shadow the pod itself: pod/NAME",
        )
    return await list_pods(api, namespace, text)


async def list_pods(api: Api, namespace: str, selector: str) -> Sequence[Pod]:
    """All pods that a label selector finds."""
    pods: list[Pod] = []
    query = {"labelSelector": selector, "limit": str(PAGE)}
    while True:
        page = await api.get(Kind.POD.path(namespace), PodList, f"list pods in namespace {namespace}", **query)
        pods.extend(page.items or ())
        if not page.metadata.continue_token:
            return pods
        query["continue"] = page.metadata.continue_token


def selector_text(selector: LabelSelector) -> str:
    """A selector as a list request takes it (Kubernetes documentation, "Labels and Selectors")."""
    parts = [f"{key}={value}" for key, value in (selector.match_labels or {}).items()]
    for requirement in selector.match_expressions or ():
        values = ",".join(requirement.values or ())
        match requirement.operator:
            case "In":
                parts.append(f"{requirement.key} in ({values})")
            case "NotIn":
                parts.append(f"{requirement.key} notin ({values})")
            case "Exists":
                parts.append(requirement.key)
            case "DoesNotExist":
                parts.append(f"!{requirement.key}")
    return ",".join(parts)


def _ready_ones(pods: Sequence[Pod], target: str, namespace: str) -> tuple[Pod, ...]:
    ready = tuple(sorted((pod for pod in pods if pod.ready), key=lambda pod: pod.metadata.name))
    if not ready:
        raise TargetFailure(
            "target-not-ready",
            f"{target} in namespace {namespace} has no ready pod",
            seen="; ".join(why_not_ready(pod) for pod in pods[:5]) or "it has no pod at all",
            advice=f"see 'kubectl -n {namespace} describe pod {pods[0].metadata.name}'"
            if pods
            else f"see 'kubectl -n {namespace} get {target}'",
        )
    if len(ready) > MAX_PODS:
        raise TargetFailure(
            "target-too-large",
            f"{target} has {len(ready)} ready pods; a session shadows at most {MAX_PODS}",
            seen=f"{ready[0].metadata.name}, ...",
            advice="shadow one of them: pod/NAME",
        )
    return ready


async def _not_found(api: Api, target: Target, namespace: str) -> Failure:
    """Suggest the nearest names there are; what may not be listed is not suggested."""
    names: list[str] = []
    for kind in (target.kind,) if target.kind else _BARE:
        try:
            found = await api.get(
                kind.path(namespace), NamedList, f"list {kind.plural} in namespace {namespace}", limit=str(PAGE)
            )
        except (Failure, NotFound):
            continue
        names += [f"{kind.short}/{item.metadata.name}" for item in found.items or ()]
    wanted = str(target)
    near = get_close_matches(wanted, names, n=3, cutoff=0.5)
    plural = target.kind.plural if target.kind else "deployments"
    return TargetFailure(
        "target-not-found",
        f"There is no {wanted} in namespace {namespace}",
        seen=f"in context {api.selection.context}: {', '.join(names[:10]) or 'nothing of that kind'}",
        advice=f"did you mean {' or '.join(near)}?" if near else f"see 'kubectl get {plural} --all-namespaces'",
    )
