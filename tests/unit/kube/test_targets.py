"""From what was typed to the pods that serve it."""

from pathlib import Path

import pytest

from kdev.errors import Failure, TargetFailure, UsageFailure
from kdev.kube.objects import LabelSelector, Requirement
from kdev.kube.targets import Kind, parse_target, resolve, selector_text
from tests.unit.kube.fake_cluster import FakeCluster, pod_object


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("deploy/checkout", Kind.DEPLOYMENT),
        ("deployments/checkout", Kind.DEPLOYMENT),
        ("sts/checkout", Kind.STATEFUL_SET),
        ("rs/checkout", Kind.REPLICA_SET),
        ("ds/checkout", Kind.DAEMON_SET),
        ("svc/checkout", Kind.SERVICE),
        ("Pod/checkout", Kind.POD),
        ("checkout", None),
    ],
)
def test_kinds(text: str, kind: Kind | None) -> None:
    """Short, long and plural kinds are understood, and none at all."""
    target = parse_target(text)
    assert (target.kind, target.name) == (kind, "checkout")


@pytest.mark.parametrize("text", ["cronjob/x", "deploy/", "deploy/UPPER", "deploy/a/b", "", "deploy/-x"])
def test_what_is_no_target(text: str) -> None:
    """A kind that cannot be shadowed, or a name that no object can have, is refused."""
    with pytest.raises(UsageFailure):
        parse_target(text)


def test_selector_text() -> None:
    """All forms of a label selector become the text of a list request."""
    selector = LabelSelector(
        match_labels={"app": "x"},
        match_expressions=(
            Requirement(key="tier", operator="In", values=("a", "b")),
            Requirement(key="old", operator="DoesNotExist"),
            Requirement(key="env", operator="NotIn", values=("dev",)),
            Requirement(key="team", operator="Exists"),
        ),
    )
    assert selector_text(selector) == "app=x,tier in (a,b),!old,env notin (dev),team"


async def test_all_ready_pods_of_a_deployment(cluster: FakeCluster, tmp_path: Path) -> None:
    """A workload stands for all of its ready pods, and for no other."""
    cluster.add_pod(pod_object("checkout-2"))
    cluster.add_pod(pod_object("checkout-3", ready=False))
    async with cluster.api(tmp_path) as api:
        resolved = await resolve(api, parse_target("deploy/checkout"), "staging")
    assert [pod.metadata.name for pod in resolved.pods] == ["checkout-1", "checkout-2"]


async def test_a_bare_name(cluster: FakeCluster, tmp_path: Path) -> None:
    """A bare name is found as what it is."""
    async with cluster.api(tmp_path) as api:
        assert str(await resolve(api, parse_target("checkout"), "staging")) == "deploy/checkout"
        assert str(await resolve(api, parse_target("checkout-1"), "staging")) == "pod/checkout-1"


async def test_a_missing_target_suggests_the_nearest(cluster: FakeCluster, tmp_path: Path) -> None:
    """A target that is not there is answered with the names that are nearest."""
    failure = await _failure(cluster, tmp_path, "deploy/chekout")
    assert failure.explanation.reference == "target-not-found"
    assert "did you mean deploy/checkout?" in failure.explanation.advice


async def test_no_ready_pod_says_why(cluster: FakeCluster, tmp_path: Path) -> None:
    """Without a ready pod the containers' own reasons are told."""
    pod = pod_object(ready=False)
    pod["status"]["containerStatuses"] = [
        {"name": "app", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    ]
    cluster.add_pod(pod)
    failure = await _failure(cluster, tmp_path, "deploy/checkout")
    assert isinstance(failure, TargetFailure)
    assert failure.explanation.reference == "target-not-ready"
    assert failure.explanation.seen == "checkout-1: container app: ImagePullBackOff no such image"


async def test_a_service_without_selector(cluster: FakeCluster, tmp_path: Path) -> None:
    """A service that selects no pods cannot be shadowed."""
    cluster.objects["/api/v1/namespaces/staging/services/outside"] = {"metadata": {"name": "outside"}, "spec": {}}
    failure = await _failure(cluster, tmp_path, "svc/outside")
    assert failure.explanation.reference == "target-selects-nothing"


async def _failure(cluster: FakeCluster, tmp_path: Path, target: str) -> Failure:
    async with cluster.api(tmp_path) as api:
        with pytest.raises(Failure) as raised:
            await resolve(api, parse_target(target), "staging")
    return raised.value
