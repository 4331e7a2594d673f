"""Turning a kubeconfig's user into what a request carries: a bearer token, a client certificate, or both.

Tokens from files and plugins expire; ``Credentials.current`` renews them when they have, and ``forget`` makes it renew
after the API server has refused them.
"""

import asyncio
import base64
import binascii
import os
import ssl
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec

from kdev.errors import ClusterFailure
from kdev.kube.kubeconfig import Cluster, Exec, Selection, User

PLUGIN_TIMEOUT = 120.0
"""Seconds. A plugin may open a browser and wait for its user to log in; nobody looks for longer."""

PLUGIN_ANSWER_MAX = 1 << 20
"""Bytes. A token and a certificate are some KiB."""

_TOKEN_FILE_AGE = timedelta(minutes=1)  # client-go's cachingTokenSource; the kubelet rotates them
_RENEW_BEFORE = timedelta(seconds=10)  # a token must outlive the request it is sent with
_EXEC_VERSIONS = ("client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1")


@dataclass(frozen=True)
class Proof:
    """What one request is sent with.

    Attributes:
        headers: ``authorization``, or nothing.
        tls: None for a plain ``http`` server.
        expires: When it must be renewed; None for never.
    """

    headers: dict[str, str]
    tls: ssl.SSLContext | None
    expires: datetime | None


class _ExecStatus(msgspec.Struct, rename="camel"):
    token: str | None = None
    expiration_timestamp: datetime | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str
    status: _ExecStatus


class Credentials:
    """The proofs of one kubeconfig user at one cluster."""

    def __init__(self, selection: Selection) -> None:
        self._cluster = selection.cluster
        self._user = selection.user
        self._proof: Proof | None = None
        self._renewing = asyncio.Lock()

    async def current(self) -> Proof:
        """A proof that has not expired.

        Raises:
            ClusterFailure: A file cannot be read, or the plugin failed.
        """
        async with self._renewing:
            proof = self._proof
            if proof is None or (proof.expires is not None and proof.expires <= datetime.now(UTC)):
                proof = self._proof = await self._renew()
            return proof

    def forget(self) -> bool:
        """Drop a refused proof; tell whether a new one could be any better."""
        self._proof = None
        return self._user.exec is not None or self._user.token_file is not None

    async def _renew(self) -> Proof:
        user = self._user
        if user.auth_provider is not None and user.exec is None:
            raise _unusable(
                "The kubeconfig's user has an auth-provider, which Kubernetes 1.26 removed", str(user.auth_provider)
            )
        tls = _tls(self._cluster)
        expires = None
        if user.exec is not None:
            status = await _run_plugin(user.exec, self._cluster)
            expires = status.expiration_timestamp and status.expiration_timestamp - _RENEW_BEFORE
            user = msgspec.structs.replace(
                user,
                token=status.token or user.token,
                client_certificate_data=status.client_certificate_data or user.client_certificate_data,
                client_key_data=status.client_key_data or user.client_key_data,
            )
        elif user.token_file is not None:
            expires = datetime.now(UTC) + _TOKEN_FILE_AGE
        if tls is not None:
            _load_certificate(tls, user)
        return Proof(_headers(user), tls, expires)


def _headers(user: User) -> dict[str, str]:
    token = _read(user.token_file).strip().decode() if user.token_file else user.token
    if token:
        return {"authorization": f"Bearer {token}"}
    if user.username:
        pair = base64.b64encode(f"{user.username}:{user.password or ''}".encode()).decode()
        return {"authorization": f"Basic {pair}"}
    return {}


def _tls(cluster: Cluster) -> ssl.SSLContext | None:
    if cluster.server.startswith("http://"):
        return None
    try:
        if cluster.certificate_authority_data:
            authorities = base64.b64decode(cluster.certificate_authority_data).decode()
            context = ssl.create_default_context(cadata=authorities)
        else:
            context = ssl.create_default_context(cafile=cluster.certificate_authority)
    except (OSError, ValueError) as error:
        raise _unusable("The kubeconfig's certificate authority cannot be read", str(error)) from error
    if cluster.insecure_skip_tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _load_certificate(context: ssl.SSLContext, user: User) -> None:
    """Give a client certificate to the context; the ssl module reads it from files only."""
    if not (user.client_certificate or user.client_certificate_data):
        return
    try:
        with tempfile.TemporaryDirectory(prefix="kdev-") as folder:
            certificate = _as_file(folder, "certificate", user.client_certificate_data, user.client_certificate)
            key = _as_file(folder, "key", user.client_key_data, user.client_key)
            context.load_cert_chain(certificate, key)
    except (OSError, ValueError) as error:
        raise _unusable("The kubeconfig's client certificate cannot be used", str(error)) from error


def _as_file(folder: str, name: str, data: str | None, path: str | None) -> str:
    if data is None:
        if path is None:
            raise ValueError(f"the client {name} is missing")
        return path
    text = data.encode()
    file = Path(folder) / name
    file.touch(mode=0o600)
    # Plugins answer with PEM, files hold base64 of it.
    file.write_bytes(text if text.startswith(b"-----BEGIN") else base64.b64decode(text, validate=True))
    return str(file)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unusable("The kubeconfig's token file cannot be read", str(error)) from error


async def _run_plugin(plugin: Exec, cluster: Cluster) -> _ExecStatus:
    if plugin.api_version not in _EXEC_VERSIONS:
        raise _unusable(
            "The kubeconfig's credential plugin speaks an unknown version", f"apiVersion: {plugin.api_version}"
        )
    try:
        answer = await _output_of(plugin, cluster)
        return msgspec.json.decode(answer, type=_ExecCredential).status
    except FileNotFoundError as error:
        raise _unusable(
            f"The kubeconfig's credential plugin '{plugin.command}' is not installed",
            str(error),
            advice=plugin.install_hint.strip(),
        ) from error
    except (OSError, ValueError, TimeoutError, binascii.Error) as error:
        raise _unusable(f"The kubeconfig's credential plugin '{plugin.command}' failed", str(error)) from error


async def _output_of(plugin: Exec, cluster: Cluster) -> bytes:
    environment = {**os.environ, **{variable.name: variable.value for variable in plugin.env or ()}}
    environment["KUBERNETES_EXEC_INFO"] = _exec_info(plugin, cluster)
    process = await asyncio.create_subprocess_exec(
        plugin.command,
        *(plugin.args or ()),
        env=environment,
        stdin=None if _interactive(plugin) else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        limit=PLUGIN_ANSWER_MAX,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(PLUGIN_TIMEOUT):
            answer = await process.stdout.read(PLUGIN_ANSWER_MAX)
            while more := await process.stdout.read(PLUGIN_ANSWER_MAX):
                answer += more
                if len(answer) > PLUGIN_ANSWER_MAX:
                    raise ValueError(f"its answer is longer than {PLUGIN_ANSWER_MAX} bytes")
            code = await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if code != 0:
        raise ValueError(f"it ended with exit code {code}")
    return answer


def _interactive(plugin: Exec) -> bool:
    return plugin.interactive_mode != "Never" and sys.stdin is not None and sys.stdin.isatty()


def _exec_info(plugin: Exec, cluster: Cluster) -> str:
    spec: dict[str, object] = {"interactive": _interactive(plugin)}
    if plugin.provide_cluster_info:
        spec["cluster"] = {
            key: value
            for key, value in msgspec.to_builtins(cluster).items()
            if value and key in {"server", "certificate-authority-data", "insecure-skip-tls-verify", "tls-server-name"}
        }
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": spec}
    return msgspec.json.encode(info).decode()


def _unusable(cause: str, seen: str, *, advice: str = "") -> ClusterFailure:
    return ClusterFailure(
        "credentials-unusable", cause, seen=seen, advice=advice or "log in again, then try 'kubectl get pods'"
    )
