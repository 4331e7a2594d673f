"""Objects over HTTP: writing, watching, and what is refused."""

import asyncio
from typing import Any

import pytest

from kdev.sandbox.api.service_account_volumes import MOUNT_PATH
from tests.unit.sandbox_api.conftest import Cluster, pod

_PODS = "/api/v1/namespaces/default/pods"
_DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


_CONTAINER = {"name": "app", "image": "app:1"}
_LIMIT = {"name": "L", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}}


def _host_path(kind: str) -> dict[str, Any]:
    return {"name": "v", "hostPath": {"path": "/tmp", "type": kind}}


def _deployment(replicas: int = 2) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod("x")["spec"]}
    spec = {"replicas": replicas, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    return {"metadata": {"name": "web"}, "spec": spec}


async def _running_pods(cluster: Cluster, count: int) -> list[Any]:
    while True:
        _, listed = await cluster.call("GET", f"{_PODS}?labelSelector=app%3Dweb")
        running = [item for item in listed["items"] if item["status"]["phase"] == "Running"]
        if len(running) == count == len(listed["items"]):
            return running
        await asyncio.sleep(0.01)


async def test_a_pod_is_defaulted_started_and_reported(cluster: Cluster):
    """A created pod runs on the node with the fields that Kubernetes fills in."""
    running = await cluster.pod()
    assert running["spec"]["restartPolicy"] == "Always"
    assert running["spec"]["containers"][0]["imagePullPolicy"] == "IfNotPresent"
    assert running["status"]["podIP"].startswith("10.244.")
    assert {item["type"] for item in running["status"]["conditions"]} == {"Ready", "PodScheduled"}


async def test_dry_run_stores_and_starts_nothing(cluster: Cluster):
    """All is done but the last step."""
    code, body = await cluster.call("POST", f"{_PODS}?dryRun=All", pod("web"))
    assert (code, body["spec"]["dnsPolicy"]) == (201, "ClusterFirst")
    assert (await cluster.call("GET", f"{_PODS}/web"))[0] == 404
    assert cluster.node.calls == []


async def test_deletion_is_graceful(cluster: Cluster):
    """A pod stays, marked as terminating, until the node has stopped it."""
    await cluster.pod()
    cluster.node.hold_stop.clear()
    code, deleted = await cluster.call("DELETE", f"{_PODS}/web", {"gracePeriodSeconds": 3})
    assert (code, deleted["metadata"]["deletionGracePeriodSeconds"]) == (200, 3)
    assert "deletionTimestamp" in (await cluster.call("GET", f"{_PODS}/web"))[1]["metadata"]
    cluster.node.hold_stop.set()
    await cluster.until(
        f"{_PODS}?resourceVersion={deleted['metadata']['resourceVersion']}", lambda e: e["type"] == "DELETED"
    )


async def test_a_deleted_pod_of_a_deployment_is_replaced(cluster: Cluster):
    """Its ReplicaSet makes another; a scale to none removes all."""
    await cluster.call("POST", _DEPLOYMENTS, _deployment())
    first = await _running_pods(cluster, 2)
    await cluster.call("DELETE", f"{_PODS}/{first[0]['metadata']['name']}")
    second = await _running_pods(cluster, 2)
    assert first[0]["metadata"]["uid"] not in {item["metadata"]["uid"] for item in second}
    code, scaled = await cluster.patch(f"{_DEPLOYMENTS}/web/scale", {"spec": {"replicas": 0}}, "merge-patch")
    assert (code, scaled["spec"]["replicas"]) == (200, 0)
    await _running_pods(cluster, 0)


async def test_a_service_tells_the_node_its_endpoints(cluster: Cluster):
    """Address, ports and ready pods of a service reach the node."""
    running = await cluster.pod()
    spec = {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]}
    _, service = await cluster.call(
        "POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "web"}, "spec": spec}
    )
    await cluster.until("/api/v1/namespaces/default/endpoints", lambda event: event["object"].get("subsets"))
    told = next(each for each in cluster.node.services if each.name == "web")
    assert told.cluster_ip == service["spec"]["clusterIP"]
    assert told.ports[0].endpoints == ((running["status"]["podIP"], 8080),)


async def test_a_stale_write_is_a_conflict(cluster: Cluster):
    """Who writes on the basis of an old resourceVersion is told so."""
    created = await cluster.pod()
    await cluster.patch(f"{_PODS}/web", {"metadata": {"labels": {"a": "b"}}})
    code, body = await cluster.call("PUT", f"{_PODS}/web", created)
    assert (code, body["reason"]) == (409, "Conflict")
    assert body["message"].startswith('Operation cannot be fulfilled on pods "web": the object has been modified')


@pytest.mark.parametrize(
    ("path", "body", "code", "message"),
    [
        (_PODS, pod("web", containers=[]), 422, 'Pod "web" is invalid: spec.containers: Required value'),
        (_PODS, pod("Web"), 422, "a lowercase RFC 1123 subdomain"),
        (_PODS, pod("web", volumes=[{"name": "v", "nfs": {}}]), 400, "missing required field"),
        (_PODS, pod("web", volumes=[_host_path("DirectoryOrCreate")]), 501, "hostPath volumes of that type"),
        (_PODS, pod("web", containers=[_CONTAINER | {"env": [_LIMIT]}]), 501, "variables from resourceFieldRef"),
        (_PODS, pod("web", hostNetwork=True), 501, "does not support pods in the host's namespaces"),
        (_PODS, pod("web", containers="x"), 400, "Expected `array`, got `str`"),
        (_PODS + "?fieldValidation=Strict", pod("web", contaners=[]), 400, 'unknown field "spec.contaners"'),
        (_PODS, pod("web", serviceAccountName="no"), 403, 'serviceaccount "no" not found'),
        (_PODS + "?dryRun=Some", pod("web"), 400, "dryRun: Unsupported value"),
        ("/api/v1/namespaces/none/pods", pod("web"), 404, 'namespaces "none" not found'),
        ("/apis/batch/v1/namespaces/default/jobs", {}, 404, "could not find the requested resource"),
        ("/api/v1/nodes", {"metadata": {"name": "n"}}, 405, "does not allow this method"),
        (_DEPLOYMENTS, {"metadata": {"name": "w"}, "spec": {}}, 400, "missing required field `selector`"),
    ],
)
async def test_bad_writes_are_refused(cluster: Cluster, path: str, body: Any, code: int, message: str):
    """Every refusal is a Status with the code and words of a real cluster."""
    answered, status = await cluster.call("POST", path, body)
    assert (answered, status["kind"], status["code"]) == (code, "Status", code)
    assert message in status["message"]
    assert cluster.node.calls == []


async def test_server_side_apply_and_foreign_formats_are_refused(cluster: Cluster):
    """What the sandbox does not read is 415, with what it does read."""
    await cluster.pod()
    for name in ("web", "not-yet-there"):
        async with cluster.session.patch(
            f"{_PODS}/{name}", data="{}", headers={"Content-Type": "application/apply-patch+yaml"}
        ) as answer:
            assert answer.status == 415
            assert "application/strategic-merge-patch+json" in (await answer.json())["message"]
    code, _ = await cluster.call("GET", _PODS, headers={"Accept": "application/vnd.kubernetes.protobuf"})
    assert code == 406


async def test_a_watch_resumes_where_a_list_ended(cluster: Cluster):
    """No change is lost between a list and the watch from its resourceVersion; forgotten versions are 410."""
    _, listed = await cluster.call("GET", _PODS)
    await cluster.pod()
    version = listed["metadata"]["resourceVersion"]
    event = await cluster.until(f"{_PODS}?resourceVersion={version}", lambda event: True)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "web")
    code, body = await cluster.call("GET", f"{_PODS}?watch=1&resourceVersion=0x")
    assert (code, body["reason"]) == (400, "BadRequest")


async def test_a_watch_with_a_selector_sees_objects_come_and_go(cluster: Cluster):
    """An object that begins to match is ADDED, one that ceases to is DELETED."""
    await cluster.pod()
    path = f"{_PODS}?labelSelector=colour%3Dred"
    watching = asyncio.create_task(cluster.until(path, lambda event: event["type"] == "DELETED"))
    await cluster.patch(f"{_PODS}/web", {"metadata": {"labels": {"colour": "red"}}})
    await cluster.until(path, lambda event: event["type"] == "ADDED")
    await cluster.patch(f"{_PODS}/web", {"metadata": {"labels": {"colour": None}}}, "merge-patch")
    assert (await watching)["object"]["metadata"]["name"] == "web"


async def test_bookmarks_and_initial_events(cluster: Cluster):
    """A watch ends at its time with a bookmark before; streaming lists are refused as before Kubernetes 1.32."""
    async with cluster.session.get(f"{_PODS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=1") as response:
        lines = (await response.read()).splitlines()
    assert b'"BOOKMARK"' in lines[-1]
    code, body = await cluster.call("GET", f"{_PODS}?watch=1&sendInitialEvents=true")
    assert (code, body["reason"]) == (422, "Invalid")


async def test_tables_for_kubectl(cluster: Cluster):
    """A list is answered as a Table when one is asked for."""
    await cluster.pod()
    accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}
    _, table = await cluster.call("GET", _PODS, headers=accept)
    assert [column["name"] for column in table["columnDefinitions"]][:4] == ["Name", "Ready", "Status", "Restarts"]
    assert table["rows"][0]["cells"][:4] == ["web", "1/1", "Running", "0"]


async def test_a_deleted_namespace_takes_its_contents_along(cluster: Cluster):
    """It terminates, accepts nothing new, and goes when its last pod has gone."""
    await cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": "shop"}})
    await cluster.until("/api/v1/namespaces/shop/serviceaccounts", lambda event: True)
    await cluster.pod(namespace="shop")
    cluster.node.hold_stop.clear()
    _, terminating = await cluster.call("DELETE", "/api/v1/namespaces/shop")
    assert terminating["status"]["phase"] == "Terminating"
    code, body = await cluster.call("POST", "/api/v1/namespaces/shop/pods", pod("late"))
    assert (code, "because it is being terminated" in body["message"]) == (403, True)
    cluster.node.hold_stop.set()
    resumed = f"/api/v1/namespaces?resourceVersion={terminating['metadata']['resourceVersion']}"
    await cluster.until(resumed, lambda event: event["type"] == "DELETED")
    assert (await cluster.call("GET", "/api/v1/namespaces/shop"))[0] == 404


async def test_volumes_are_filled_from_the_store(cluster: Cluster):
    """The node is given the files of config maps, secrets and tokens."""
    await cluster.call("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "c"}, "data": {"a": "1"}})
    await cluster.call("POST", "/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "data": {"b": "Mg=="}})
    running = await cluster.pod()
    files = cluster.node.events.volume_files
    uid = running["metadata"]["uid"]
    assert files(uid, {"name": "v", "configMap": {"name": "c"}}) == {"a": b"1"}
    assert files(uid, {"name": "v", "secret": {"secretName": "s", "items": [{"key": "b", "path": "x/y"}]}}) == {
        "x/y": b"2"
    }
    token = files(uid, {"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}})["token"]
    code, _ = await cluster.call("GET", "/version", headers={"Authorization": f"Bearer {token.decode()}"})
    assert code == 200
    with pytest.raises(KeyError, match="none"):
        files(uid, {"name": "v", "configMap": {"name": "none"}})


async def test_every_container_gets_the_means_to_talk_to_the_api_server(cluster: Cluster):
    """Token, CA and namespace are mounted read-only in all containers, and are those of the pod's account."""
    spec = (await cluster.pod(initContainers=[_CONTAINER | {"name": "init"}]))["spec"]
    (volume,) = spec["volumes"]
    for container in (*spec["initContainers"], *spec["containers"]):
        assert container["volumeMounts"] == [{"name": volume["name"], "readOnly": True, "mountPath": MOUNT_PATH}]
    uid = next(iter(cluster.node.pods))
    files = cluster.node.events.volume_files(uid, volume)
    assert (files["namespace"], files["ca.crt"].decode()) == (b"default", cluster.ca)
    assert files["token"].count(b".") == 2
    code, _ = await cluster.patch(f"{_PODS}/web/ephemeralcontainers", {"spec": {"ephemeralContainers": [_CONTAINER]}})
    assert code == 422  # a name twice; then with one of its own
    look = {"spec": {"ephemeralContainers": [_CONTAINER | {"name": "look"}]}}
    _, with_ephemeral = await cluster.patch(f"{_PODS}/web/ephemeralcontainers", look)
    assert "volumeMounts" not in with_ephemeral["spec"]["ephemeralContainers"][0]


@pytest.mark.parametrize("declining", ["pod", "account"])
async def test_the_account_s_volume_can_be_declined(cluster: Cluster, declining: str):
    """By the pod, or for all of its pods by the service account."""
    refusal = {"automountServiceAccountToken": False}
    account = {"metadata": {"name": "quiet"}} | (refusal if declining == "account" else {})
    await cluster.call("POST", "/api/v1/namespaces/default/serviceaccounts", account)
    running = await cluster.pod(serviceAccountName="quiet", **(refusal if declining == "pod" else {}))
    assert "volumes" not in running["spec"]


async def test_pods_reach_the_api_server_by_its_service(cluster: Cluster):
    """The service ``kubernetes`` leads to where the server listens inside the cluster."""
    _, service = await cluster.call("GET", "/api/v1/namespaces/default/services/kubernetes")
    assert service["spec"]["clusterIP"] == "10.96.0.1"
    (told,) = cluster.node.services
    ((address, port),) = told.ports[0].endpoints
    async with cluster.session.get(f"https://{address}:{port}/version") as answer:
        assert answer.status == 200


async def test_long_lists_come_in_pieces(cluster: Cluster):
    """Following ``continue`` gives every object once, and each piece carries the first one's revision."""
    names = [f"c{number}" for number in range(5)]
    path = "/api/v1/namespaces/default/configmaps"
    for name in names:
        await cluster.call("POST", path, {"metadata": {"name": name}})
    seen, revisions, token = [], set(), ""
    while True:
        _, piece = await cluster.call("GET", path, params={"limit": "2", "continue": token})
        seen += [item["metadata"]["name"] for item in piece["items"]]
        revisions.add(piece["metadata"]["resourceVersion"])
        token = piece["metadata"].get("continue", "")
        if not token:
            break
        await cluster.call("DELETE", f"{path}/{seen[-1]}")
    assert (seen, len(revisions)) == ([*names, "kube-root-ca.crt"], 1)


@pytest.mark.parametrize("query", ["limit=x", "continue=x", "continue=e30="])
async def test_pieces_that_are_none_are_refused(cluster: Cluster, query: str):
    """A limit that is no number, a token that is none of ours."""
    assert (await cluster.call("GET", f"{_PODS}?{query}"))[0] == 400


async def test_a_fault_of_the_server_is_a_status(cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
    """Whatever goes wrong inside, clients read a Status with code 500."""
    monkeypatch.setattr("kdev.sandbox.api.watches.listed", lambda *_: 1 / 0)
    code, body = await cluster.call("GET", _PODS)
    assert (code, body["kind"], body["reason"]) == (500, "Status", "InternalError")
    assert "ZeroDivisionError" in body["message"]
