"""pods/ephemeralcontainers, as kdev's placement and kubectl debug use it."""

from typing import Any

import pytest

from tests.unit.sandbox_api.conftest import Cluster

_EPHEMERAL = "/api/v1/namespaces/default/pods/web/ephemeralcontainers"


def _patch(name: str = "kdev-x", **fields: Any) -> dict[str, Any]:
    return {"spec": {"ephemeralContainers": [{"name": name, "image": "kdev:1", **fields}]}}


async def test_one_is_started_and_reported(cluster: Cluster):
    """A strategic merge patch starts it; the pod's status tells that it runs."""
    await cluster.pod()
    code, body = await cluster.patch(_EPHEMERAL, _patch(targetContainerName="app"))
    assert (code, body["kind"]) == (200, "Pod")
    event = await cluster.until(
        "/api/v1/namespaces/default/pods", lambda e: e["object"]["status"].get("ephemeralContainerStatuses")
    )
    assert event["object"]["status"]["ephemeralContainerStatuses"][0]["name"] == "kdev-x"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"ports": [{"containerPort": 1}]},
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        ),
        (
            {"resources": {"limits": {"memory": "1Mi"}}},
            "spec.ephemeralContainers[0].resources: Forbidden: cannot be set",
        ),
        (
            {"livenessProbe": {"httpGet": {"port": 1}}},
            "spec.ephemeralContainers[0].livenessProbe: Forbidden: cannot be set",
        ),
        ({"targetContainerName": "no"}, 'spec.ephemeralContainers[0].targetContainerName: Not found: "no"'),
        ({"name": "app"}, 'spec.ephemeralContainers[0].name: Duplicate value: "app"'),
        ({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, 'volumeMounts[0].name: Not found: "v"'),
        ({"image": ""}, "spec.ephemeralContainers[0].image: Required value"),
    ],
)
async def test_what_one_may_not_carry(cluster: Cluster, fields: dict[str, Any], message: str):
    """Each field outside the allow-list is 422, for a dry run as for real."""
    await cluster.pod()
    for path in (_EPHEMERAL, f"{_EPHEMERAL}?dryRun=All"):
        code, body = await cluster.patch(path, _patch(**fields))
        assert (code, body["reason"]) == (422, "Invalid")
        assert message in body["message"]
    assert ("ephemeral", "kdev-x") not in cluster.node.calls


async def test_existing_ones_can_neither_change_nor_go(cluster: Cluster):
    """Names are used once."""
    await cluster.pod()
    await cluster.patch(_EPHEMERAL, _patch())
    code, body = await cluster.patch(_EPHEMERAL, _patch(image="other"))
    assert (code, 'existing ephemeral containers "kdev-x" may not be changed' in body["message"]) == (422, True)
    operations = [{"op": "replace", "path": "/spec/ephemeralContainers", "value": []}]
    code, body = await cluster.patch(_EPHEMERAL, operations, "json-patch")
    assert (code, 'existing ephemeral containers "kdev-x" may not be removed' in body["message"]) == (422, True)


async def test_other_changes_are_dropped(cluster: Cluster):
    """The subresource changes nothing but the list."""
    await cluster.pod()
    _, body = await cluster.patch(_EPHEMERAL, _patch() | {"metadata": {"labels": {"app": "other"}}})
    assert body["metadata"]["labels"] == {"app": "web"}


async def test_pod_security_is_held_against_the_whole_pod(cluster: Cluster):
    """NET_ADMIN is refused under baseline, with the same words for a dry run."""
    await cluster.pod()
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}}
    await cluster.patch("/api/v1/namespaces/default", label)
    patch = _patch(securityContext={"capabilities": {"add": ["NET_ADMIN"]}})
    for path in (_EPHEMERAL, f"{_EPHEMERAL}?dryRun=All"):
        code, body = await cluster.patch(path, patch)
        assert (code, body["reason"]) == (403, "Forbidden")
        assert body["message"] == (
            'pods "web" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities (container '
            '"kdev-x" must not include "NET_ADMIN" in securityContext.capabilities.add)'
        )
    assert (await cluster.patch(f"{_EPHEMERAL}?dryRun=All", _patch()))[0] == 200


async def test_the_kind_of_old_clients_is_understood(cluster: Cluster):
    """A kubectl before 1.22 puts a list that stands in no spec; what is there already stays."""
    await cluster.pod()
    await cluster.patch(_EPHEMERAL, _patch())
    legacy = {"apiVersion": "v1", "kind": "EphemeralContainers", "metadata": {"name": "web"}}
    _, body = await cluster.call("PUT", _EPHEMERAL, legacy | {"ephemeralContainers": [{"name": "dbg", "image": "b"}]})
    assert [item["name"] for item in body["spec"]["ephemeralContainers"]] == ["kdev-x", "dbg"]
