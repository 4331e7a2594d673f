"""The controllers' plans."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from kdev.sandbox.api.controllers import deployments, endpoints, replica_sets


def _deployment(replicas: int, **strategy: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "uid": "d", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "a", "image": "a"}]}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": strategy},
        },
        "status": {},
    }


def _owned(name: str, replicas: int, available: int, revision: int) -> dict[str, Any]:
    meta = {"name": name, "namespace": "shop", "uid": name, "annotations": {deployments.REVISION: str(revision)}}
    owner = {"kind": "Deployment", "uid": "d", "controller": True}
    status = {"replicas": replicas, "availableReplicas": available, "readyReplicas": available}
    return {"metadata": meta | {"ownerReferences": [owner]}, "spec": {"replicas": replicas}, "status": status}


def test_a_new_template_gets_a_replica_set():
    """Its name carries the template's hash, its selector and pods the same as a label."""
    plan = deployments.plan(_deployment(2), [])
    assert plan.create is not None
    label = plan.create["metadata"]["labels"][deployments.HASH_LABEL]
    assert plan.create["metadata"]["name"] == f"web-{label}"
    assert plan.create["spec"]["selector"]["matchLabels"] == {"app": "web", deployments.HASH_LABEL: label}


@settings(max_examples=60)
@given(st.integers(1, 8), st.integers(0, 3), st.integers(0, 3))
def test_a_rolling_update_ends_and_keeps_its_promises(replicas: int, surge: int, unavailable: int):
    """However big the steps are, it ends at the new template, never exceeds the surge nor serves with too few."""
    if surge == unavailable == 0:
        unavailable = 1
    deployment = _deployment(replicas, maxSurge=surge, maxUnavailable=unavailable)
    new_name = deployments.plan(deployment, []).newest
    sets = {"old": _owned("old", replicas, replicas, 1), new_name: _owned(new_name, 0, 0, 2)}
    for _ in range(4 * replicas + 4):
        for name, wanted in deployments.plan(deployment, list(sets.values())).scale.items():
            sets[name] = _owned(
                name, wanted, min(wanted, sets[name]["status"]["availableReplicas"]), 1 + (name != "old")
            )
        total = sum(item["spec"]["replicas"] for item in sets.values())
        available = sum(item["status"]["availableReplicas"] for item in sets.values())
        assert total <= replicas + surge
        assert available >= replicas - unavailable
        sets = {
            name: _owned(name, n := item["spec"]["replicas"], n, 1 + (name != "old")) for name, item in sets.items()
        }
    assert sets["old"]["spec"]["replicas"] == 0
    assert sets[new_name]["spec"]["replicas"] == replicas


def test_a_replica_set_replaces_and_removes_pods():
    """Pods that end or terminate do not count; of too many, the unready and youngest go."""
    owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet"} | _owned("web-x", 2, 0, 1)
    owner["spec"]["template"] = {"metadata": {"labels": {"app": "web"}}, "spec": {}}

    def pod(name: str, revision: int, *, ready: bool, phase: str = "Running") -> dict[str, Any]:
        conditions = [{"type": "Ready", "status": str(ready)}]
        reference = {"uid": "web-x", "kind": "ReplicaSet", "controller": True}
        meta = {"name": name, "resourceVersion": str(revision), "ownerReferences": [reference]}
        return {"metadata": meta, "status": {"phase": phase, "conditions": conditions}}

    missing = replica_sets.plan(owner, [pod("a", 1, ready=True), pod("b", 2, ready=True, phase="Failed")])
    assert (len(missing.create), missing.delete) == (1, ())
    surplus = replica_sets.plan(owner, [pod("a", 1, ready=True), pod("b", 2, ready=False), pod("c", 3, ready=True)])
    assert surplus.delete == ("b",)


def test_endpoints_are_the_ready_pods_at_their_named_ports():
    """A named target port is looked up in each pod; unready pods are listed apart, and the node hears of ready ones."""

    def pod(name: str, ip: str, port: int, *, ready: bool) -> dict[str, Any]:
        return {
            "metadata": {"name": name, "namespace": "shop", "uid": name, "labels": {"app": "web"}},
            "spec": {"containers": [{"ports": [{"name": "http", "containerPort": port}]}]},
            "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": str(ready)}]},
        }

    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop", "uid": "s"},
        "spec": {"clusterIP": "10.96.0.11", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
    }
    plan = endpoints.plan(service, [pod("a", "10.0.0.1", 8080, ready=True), pod("b", "10.0.0.2", 8080, ready=False)])
    (subset,) = plan.endpoints["subsets"]
    assert [address["ip"] for address in subset["addresses"]] == ["10.0.0.1"]
    assert [address["ip"] for address in subset["notReadyAddresses"]] == ["10.0.0.2"]
    assert plan.service.ports[0].endpoints == (("10.0.0.1", 8080),)
    assert [item["conditions"]["ready"] for item in plan.slice["endpoints"]] == [True, False]
    assert plan.service.retries
    service["metadata"]["annotations"] = {endpoints.RETRIES: "off"}
    assert not endpoints.plan(service, []).service.retries
