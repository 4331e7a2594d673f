"""Who may do what: certificates, tokens, RBAC and the reviews."""

import ssl
from typing import Any

import aiohttp
import pytest

from kdev.sandbox.api.resources import SERVICE_ACCOUNTS
from kdev.sandbox.api.store import Store
from kdev.sandbox.api.tokens import Identity, Tokens
from kdev.sandbox.api.volumes import Volumes
from tests.unit.sandbox_api.conftest import Cluster

_RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/staging"
_POD = "/api/v1/namespaces/staging/pods/web"
_RULES = [
    {"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]},
    {"apiGroups": [""], "resources": ["pods/ephemeralcontainers"], "verbs": ["patch"]},
]


async def _developer(cluster: Cluster) -> aiohttp.ClientSession:
    """A session of staging's service account ``dev`` with the rights of a shadowing developer."""
    await cluster.call("POST", "/api/v1/namespaces", {"metadata": {"name": "staging"}})
    accounts = "/api/v1/namespaces/staging/serviceaccounts"
    await cluster.call("POST", accounts, {"metadata": {"name": "dev"}})
    await cluster.call("POST", f"{_RBAC}/roles", {"metadata": {"name": "shadow"}, "rules": _RULES})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "shadow"}
    subjects = [{"kind": "ServiceAccount", "name": "dev", "namespace": "staging"}]
    binding = {"metadata": {"name": "dev"}, "roleRef": reference, "subjects": subjects}
    await cluster.call("POST", f"{_RBAC}/rolebindings", binding)
    code, request = await cluster.call("POST", f"{accounts}/dev/token", {"spec": {"expirationSeconds": 600}})
    assert code == 201
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=cluster.ca))
    headers = {"Authorization": f"Bearer {request['status']['token']}"}
    return aiohttp.ClientSession(cluster.url, headers=headers, connector=connector)


@pytest.mark.parametrize(
    ("method", "path", "subject", "what", "namespace"),
    [
        ("GET", "/api/v1/namespaces/default/pods", "pods is", 'list resource "pods" in API group ""', "default"),
        ("DELETE", _POD, 'pods "web" is', 'delete resource "pods" in API group ""', "staging"),
        ("GET", f"{_POD}/log", 'pods "web" is', 'get resource "pods/log" in API group ""', "staging"),
        (
            "GET",
            "/apis/apps/v1/deployments",
            "deployments.apps is",
            'list resource "deployments" in API group "apps"',
            "",
        ),
    ],
)
async def test_rbac_refuses_in_the_words_of_a_real_cluster(  # noqa: PLR0917 - one column of the table each
    cluster: Cluster, method: str, path: str, subject: str, what: str, namespace: str
):
    """Verb, resource, group and scope are told."""
    where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
    message = f'{subject} forbidden: User "system:serviceaccount:staging:dev" cannot {what} {where}'
    async with await _developer(cluster) as developer, developer.request(method, path) as answer:
        body = await answer.json()
        assert (answer.status, body["reason"], body["message"]) == (403, "Forbidden", message)


async def test_rbac_allows_what_a_role_says(cluster: Cluster):
    """Lists are answered, and the review agrees with what happens."""
    async with await _developer(cluster) as developer:
        async with developer.get("/api/v1/namespaces/staging/pods") as answer:
            assert answer.status == 200
        for resource, subresource, verb, allowed in (
            ("pods", "", "list", True),
            ("pods", "ephemeralcontainers", "patch", True),
            ("pods", "portforward", "create", False),
        ):
            attributes = {"namespace": "staging", "verb": verb, "resource": resource, "subresource": subresource}
            review: Any = {"spec": {"resourceAttributes": attributes}}
            path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            async with developer.post(path, json=review) as answer:
                assert (answer.status, (await answer.json())["status"]["allowed"]) == (201, allowed)


async def test_unknown_and_absent_credentials(cluster: Cluster):
    """A foreign token is 401; nobody in particular may read the version and nothing else."""
    connector = aiohttp.TCPConnector(ssl=ssl.create_default_context(cadata=cluster.ca))
    async with aiohttp.ClientSession(cluster.url, connector=connector) as nobody:
        async with nobody.get("/version", headers={"Authorization": "Bearer a.b.c"}) as answer:
            assert (answer.status, (await answer.json())["reason"]) == (401, "Unauthorized")
        async with nobody.get("/version") as answer:
            assert (await answer.json())["gitVersion"].startswith("v1.34.")
        async with nobody.get("/api") as answer:
            assert (await answer.json())["message"] == 'forbidden: User "system:anonymous" cannot get path "/api"'


async def test_a_token_dies_with_its_account(cluster: Cluster):
    """Deleting the service account ends what its tokens may do."""
    async with await _developer(cluster) as developer:
        await cluster.call("DELETE", "/api/v1/namespaces/staging/serviceaccounts/dev")
        async with developer.get("/api/v1/namespaces/staging/pods") as answer:
            assert answer.status == 401


async def test_impersonation_shows_another_s_rights(cluster: Cluster):
    """The administrator may ask as somebody else."""
    headers = {"Impersonate-User": "system:serviceaccount:default:default"}
    code, body = await cluster.call("GET", "/api/v1/namespaces/default/pods", headers=headers)
    assert (code, '"system:serviceaccount:default:default"' in body["message"]) == (403, True)


def test_tokens_expire_and_cannot_be_changed():
    """Only an unexpired token with our signature, made for the API server, is somebody's."""
    tokens = Tokens()
    identity = Identity("staging", "dev", "1")
    good = tokens.issue(identity, 60)
    assert tokens.identify(good) == identity
    assert tokens.identify(tokens.issue(identity, -1)) is None
    assert tokens.identify(tokens.issue(identity, 60, ["istio-ca"])) is None
    assert tokens.identify(good[:-2] + ("AA" if not good.endswith("AA") else "BB")) is None
    assert Tokens().identify(good) is None


def test_a_pods_token_is_renewed_before_it_expires():
    """The same token until four fifths of its life, then another; a pod that is gone has none."""
    now = [1000.0]
    store = Store()
    account = {"metadata": {"name": "default", "namespace": "staging"}}
    store.create(SERVICE_ACCOUNTS, {"apiVersion": "v1", "kind": "ServiceAccount"} | account)
    volumes = Volumes(store, Tokens(now=lambda: now[0]), lambda: now[0])
    pod = {"metadata": {"uid": "1", "namespace": "staging"}, "spec": {}}
    volume = {"projected": {"sources": [{"serviceAccountToken": {"path": "token", "expirationSeconds": 1000}}]}}
    tokens = []
    for moment in (1000.0, 1799.0, 1801.0):
        now[0] = moment
        tokens.append(volumes.files(pod, volume)["token"])
    assert tokens[0] == tokens[1] != tokens[2]
