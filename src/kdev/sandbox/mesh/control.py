"""The mesh's control plane: keeps every sidecar's files up to date.

Envoy takes its configuration from files and reads a file anew when another is renamed over it, so a control plane is
a set of pure functions and this module, which writes what has changed.
"""

import asyncio
import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from kdev.sandbox.interface import Object, Service
from kdev.sandbox.mesh.bootstrap import CLUSTERS_FILE, LISTENERS_FILE, bootstrap
from kdev.sandbox.mesh.capture_rules import capture
from kdev.sandbox.mesh.certificates import CertificateAuthority, spiffe_identity
from kdev.sandbox.mesh.envoy_parts import CERTIFICATE_FILE, ROOT_FILE, resources
from kdev.sandbox.mesh.inbound import inbound_clusters, inbound_listener
from kdev.sandbox.mesh.outbound import outbound_clusters, outbound_listeners
from kdev.sandbox.mesh.protocols import PortProtocol, protocol_of
from kdev.sandbox.mesh.shape import CONFIGURATION_VOLUME, PROXY_UID
from kdev.sandbox.pod_sandbox import PodSandbox

_SECRET = "extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - the name of a message type


class Mesh:
    """All sidecars of one sandbox, and the authority behind their identities."""

    def __init__(self, authority: CertificateAuthority) -> None:
        self._authority = authority
        self._sandboxes: dict[str, PodSandbox] = {}
        self._services: Sequence[Service] = ()
        self._written: dict[Path, str] = {}
        self._closed = asyncio.Event()

    def add(self, sandbox: PodSandbox) -> None:
        """Take a pod into the mesh before its containers start, if it is meshed at all."""
        if not sandbox.is_meshed:
            return
        self._sandboxes[sandbox.ip] = sandbox
        capture(sandbox.link.namespace)
        metadata = sandbox.pod["metadata"]
        self._write(sandbox, "bootstrap.json", bootstrap(metadata["name"], metadata["namespace"], sandbox.ip))
        self._write(sandbox, ROOT_FILE, resources(_SECRET, _root(self._authority.root)))
        self._issue(sandbox)
        self._configure(sandbox)

    def remove(self, sandbox: PodSandbox) -> None:
        """Forget a pod that ends."""
        if self._sandboxes.pop(sandbox.ip, None) is not None:
            directory = sandbox.volume(CONFIGURATION_VOLUME)
            self._written = {p: content for p, content in self._written.items() if not p.is_relative_to(directory)}

    def set_services(self, services: Sequence[Service]) -> None:
        """Have all sidecars know these services."""
        self._services = services
        for sandbox in self._sandboxes.values():
            self._configure(sandbox)

    async def renew_certificates(self) -> None:
        """Give every sidecar a new certificate at half of each lifetime, until closed."""
        half = self._authority.lifetime.total_seconds() / 2
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(half):
                    await self._closed.wait()
            if self._closed.is_set():
                return
            for sandbox in self._sandboxes.values():
                self._issue(sandbox)

    def close(self) -> None:
        """End the renewal."""
        self._closed.set()

    def _issue(self, sandbox: PodSandbox) -> None:
        pod = sandbox.pod
        account = pod["spec"].get("serviceAccountName", "default")
        certificate = self._authority.issue(spiffe_identity(pod["metadata"]["namespace"], account))
        secret = {
            "name": "default",
            "tls_certificate": {
                "certificate_chain": {"inline_string": certificate.chain},
                "private_key": {"inline_string": certificate.key},
            },
        }
        self._write(sandbox, CERTIFICATE_FILE, resources(_SECRET, secret))

    def _configure(self, sandbox: PodSandbox) -> None:
        """In this order, so that no file names what another does not say yet."""
        ports = _ports_of(sandbox.ip, self._services)
        clusters = (*outbound_clusters(self._services, self._sandboxes.keys()), *inbound_clusters(ports))
        self._write(sandbox, CLUSTERS_FILE, resources("config.cluster.v3.Cluster", *clusters))
        listeners = (*outbound_listeners(self._services), inbound_listener(ports))
        self._write(sandbox, LISTENERS_FILE, resources("config.listener.v3.Listener", *listeners))

    def _write(self, sandbox: PodSandbox, name: str, content: Object) -> None:
        path = sandbox.volume(CONFIGURATION_VOLUME) / name
        text = json.dumps(content)
        if self._written.get(path) == text:
            return
        fresh = path.with_name(f".{path.name}")
        fresh.touch(mode=0o600)
        os.chown(fresh, PROXY_UID, PROXY_UID)
        fresh.write_text(text, encoding="utf-8")
        fresh.rename(path)
        self._written[path] = text


def _ports_of(ip: str, services: Sequence[Service]) -> dict[int, PortProtocol]:
    """A pod's ports that services lead to, with what they speak."""
    return {
        target: protocol_of(port)
        for service in services
        for port in service.ports
        for address, target in port.endpoints
        if address == ip and port.protocol == "TCP"
    }


def _root(certificate: str) -> Object:
    return {"name": "ROOTCA", "validation_context": {"trusted_ca": {"inline_string": certificate}}}
