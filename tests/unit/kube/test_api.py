"""Refusals and broken connections of an API server, and how credentials reach it."""

import asyncio
import base64
import json
import ssl
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kdev.errors import ClusterFailure
from kdev.kube import api as api_module
from kdev.kube.api import Api
from kdev.kube.kubeconfig import read_kubeconfig
from kdev.kube.objects import PodList
from kdev.kube.refusals import NotFound
from kdev.kube.targets import list_pods
from tests.unit.kube.fake_cluster import FakeCluster, pod_object, serve

POD_SECURITY = (
    'pods "web-1" is forbidden: violates PodSecurity "baseline:latest": non-default capabilities (container "kdev-x" '
    'must not include "NET_ADMIN" in securityContext.capabilities.add)'
)
FORBIDDEN = 'pods is forbidden: User "alice" cannot list resource "pods" in API group "" in the namespace "staging"'


def status_body(message: str, kind: str = "Status") -> bytes:
    """A Status as an API server sends it."""
    return json.dumps({"kind": kind, "reason": "R", "message": message}).encode()


@pytest.mark.parametrize(
    ("code", "body", "reference"),
    [
        (401, status_body("token expired"), "credentials-refused"),
        (401, b"", "credentials-refused"),
        (403, status_body(FORBIDDEN), "rights-missing"),
        (403, status_body(POD_SECURITY), "pod-security"),
        (403, status_body("only images from registry.example"), "admission-refused"),
        (422, status_body("ValidatingAdmissionPolicy 'no-eph' denied request"), "cluster-refused"),
        (429, status_body("too many requests"), "cluster-busy"),
        (500, status_body("etcdserver: leader changed"), "cluster-failing"),
        (404, b"<html>nginx</html>", "not-kubernetes"),
        (502, b"Bad Gateway", "cluster-failing"),
        (200, b"<html>welcome</html>", "not-kubernetes"),
        (200, b'{"kind": "PodList", "items": [{"metadata": 5}]}', "not-kubernetes"),
        (200, b"\xff\xfe", "not-kubernetes"),
        (302, b"", "not-kubernetes"),
    ],
)
async def test_refusals(cluster: FakeCluster, tmp_path: Path, code: int, body: bytes, reference: str) -> None:
    """Each refusal has a reference and advice, and repeats the server's words in bounds."""
    cluster.answer = (code, body)
    failure = await _failure(cluster.api(tmp_path))
    assert failure.explanation.reference == reference
    assert failure.explanation.advice
    assert len(failure.explanation.seen) < 1100


async def test_missing_rights_are_named(cluster: FakeCluster, tmp_path: Path) -> None:
    """A missing right is told as verb and resource, with the role that would grant it."""
    cluster.answer = (403, status_body(FORBIDDEN))
    told = (await _failure(cluster.api(tmp_path))).explanation
    assert told.cause == "You may not list pods in namespace staging"
    assert "kubectl create role kdev -n staging --verb=list --resource=pods" in told.advice


async def test_not_found(cluster: FakeCluster, tmp_path: Path) -> None:
    """What is not there is for the caller to tell."""
    async with cluster.api(tmp_path) as api:
        with pytest.raises(NotFound):
            await api.get("/api/v1/namespaces/staging/pods/none", PodList, "get a pod")


async def test_a_dead_api_server(cluster: FakeCluster, tmp_path: Path) -> None:
    """A server that does not answer is told with its address and the system's words."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    cluster.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()
    await server.wait_closed()
    failure = await _failure(cluster.api(tmp_path))
    assert failure.explanation.reference == "cluster-unreachable"
    assert cluster.url in failure.explanation.cause


async def test_a_silent_api_server(cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that takes the connection and says nothing is given up."""
    monkeypatch.setattr(api_module, "ANSWER_TIMEOUT", 0.05)
    silent = asyncio.Event()

    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await silent.wait()
        writer.close()

    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        cluster.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        failure = await _failure(cluster.api(tmp_path))
        silent.set()
    assert failure.explanation.reference == "cluster-unreachable"


async def test_an_endless_answer(cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is read up to a bound."""
    monkeypatch.setattr(api_module, "ANSWER_MAX", 1000)
    cluster.answer = (200, bytes(5000))
    assert (await _failure(cluster.api(tmp_path))).explanation.reference == "answer-too-long"


async def test_a_renewed_token_file(cluster: FakeCluster, tmp_path: Path) -> None:
    """A token that was renewed in its file is read again when the old one is refused."""
    token = tmp_path / "token"
    token.write_text("old\n")
    cluster.token = "old"
    async with cluster.api(tmp_path, tokenFile="token") as api:
        await list_pods(api, "staging", "app=checkout")
        token.write_text("new\n")
        cluster.token = "new"
        assert len(await list_pods(api, "staging", "app=checkout")) == 1


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_a_credential_plugin(cluster: FakeCluster, tmp_path: Path, version: str) -> None:
    """A plugin's token is used until it expires, and the plugin is told about the cluster."""
    cluster.token = "from-plugin"
    calls = tmp_path / "calls"
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    script = (
        "import json, os; open(os.environ['CALLS'], 'a').write(os.environ['KUBERNETES_EXEC_INFO'] + '\\n');"
        f"status = {{'token': 'from-plugin', 'expirationTimestamp': '{soon}'}};"
        "print(json.dumps({'apiVersion': 'x', 'status': status}))"
    )
    plugin = _plugin(version, "-c", script) | {
        "env": [{"name": "CALLS", "value": str(calls)}],
        "provideClusterInfo": True,
    }
    async with cluster.api(tmp_path, exec=plugin) as api:
        await list_pods(api, "staging", "app=checkout")
        await list_pods(api, "staging", "app=checkout")
    (info,) = calls.read_text().splitlines()
    assert json.loads(info)["spec"]["cluster"]["server"] == cluster.url


@pytest.mark.parametrize(
    ("plugin", "seen"),
    [
        ({"apiVersion": "client.authentication.k8s.io/v2", "command": "x"}, "v2"),
        ({"apiVersion": "client.authentication.k8s.io/v1", "command": "no-such-plugin"}, "no-such-plugin"),
        (("-c", "exit(3)"), "exit code 3"),
        (("-c", "print('hello')"), "JSON"),
        (("-c", "print('x' * 3000000)"), "longer"),
    ],
)
async def test_a_broken_plugin(cluster: FakeCluster, tmp_path: Path, plugin: Any, seen: str) -> None:
    """A plugin that is missing, fails or answers nonsense is told."""
    section = plugin if isinstance(plugin, dict) else _plugin("v1", *plugin)
    failure = await _failure(cluster.api(tmp_path, exec=section))
    assert failure.explanation.reference == "credentials-unusable"
    assert seen in failure.explanation.seen


@pytest.mark.parametrize(
    "user",
    [
        {"tokenFile": "missing"},
        {"auth-provider": {"name": "gcp"}},
    ],
)
async def test_unusable_credentials(cluster: FakeCluster, tmp_path: Path, user: dict[str, Any]) -> None:
    """Credentials that cannot be used are told before anything is asked."""
    failure = await _failure(cluster.api(tmp_path, **user))
    assert failure.explanation.reference == "credentials-unusable"
    assert not cluster.requests


class Authority:
    """A certificate authority, and certificates by it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.certificate, _ = self._issue("authority", self._key, authority=True)

    def issue(self, name: str) -> tuple[str, str]:
        """Files with a certificate and its key."""
        return self._issue(name, ec.generate_private_key(ec.SECP256R1()), authority=False)

    def _issue(self, name: str, key: ec.EllipticCurvePrivateKey, *, authority: bool) -> tuple[str, str]:
        now = datetime.now(UTC)
        issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority")])
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        certificate = (
            x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.test")]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return str(files[0]), str(files[1])


async def test_tls_with_a_client_certificate(tmp_path: Path) -> None:
    """Server and client prove themselves; authority and certificate may stand in the file, or beside it."""
    authority = Authority(tmp_path)
    certificate, key = authority.issue("client")
    async with serve(_with_pod(), _server_tls(authority)) as cluster:
        api = _tls_api(
            cluster,
            tmp_path,
            {"certificate-authority": authority.certificate, "tls-server-name": "api.test"},
            {"client-certificate-data": _base64(certificate), "client-key": key},
        )
        async with api:
            assert len(await list_pods(api, "staging", "app=checkout")) == 1


async def test_an_untrusted_certificate(tmp_path: Path) -> None:
    """A server of another authority is not talked to, unless the kubeconfig says so."""
    authority = Authority(tmp_path)
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    certificate, key = authority.issue("client")
    user = {"client-certificate": certificate, "client-key": key}
    async with serve(_with_pod(), _server_tls(authority)) as cluster:
        wrong = {"certificate-authority-data": _base64(other.certificate), "tls-server-name": "api.test"}
        failure = await _failure(_tls_api(cluster, tmp_path, wrong, user))
        assert failure.explanation.reference == "certificate-untrusted"
        async with _tls_api(cluster, tmp_path, {"insecure-skip-tls-verify": True}, user) as api:
            assert len(await list_pods(api, "staging", "app=checkout")) == 1


async def test_tls_where_none_is_spoken(cluster: FakeCluster, tmp_path: Path) -> None:
    """A port that does not speak TLS is told as such."""
    cluster.url = cluster.url.replace("http", "https")
    assert (await _failure(cluster.api(tmp_path))).explanation.reference == "tls-failed"


def _with_pod() -> FakeCluster:
    cluster = FakeCluster()
    cluster.add_pod(pod_object())
    return cluster


def _server_tls(authority: Authority) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*authority.issue("server"))
    return context


def _tls_api(cluster: FakeCluster, tmp_path: Path, server: dict[str, Any], user: dict[str, Any]) -> Api:
    config = yaml.safe_load(cluster.kubeconfig(**user))
    config["clusters"][0]["cluster"] |= server
    file = tmp_path / "kubeconfig"
    file.write_text(yaml.safe_dump(config))
    return Api(read_kubeconfig({"KUBECONFIG": str(file)}, None))


def _base64(file: str) -> str:
    return base64.b64encode(Path(file).read_bytes()).decode()


def _plugin(version: str, *arguments: str) -> dict[str, Any]:
    return {
        "apiVersion": f"client.authentication.k8s.io/{version}",
        "command": sys.executable,
        "args": list(arguments),
        "interactiveMode": "Never",
    }


async def _failure(api: Api) -> ClusterFailure:
    async with api:
        with pytest.raises(ClusterFailure) as raised:
            await list_pods(api, "staging", "app=checkout")
    return raised.value
