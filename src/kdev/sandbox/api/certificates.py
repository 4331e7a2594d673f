"""The API server's keys: a CA, the server's certificate, the administrator's client certificate, and the kubeconfig.

Made anew for every sandbox and valid for ten years, as its life is bounded by ``kdev sandbox down`` anyway.
"""

import base64
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final, Self

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_LIFETIME: Final = timedelta(days=3650)
_DNS_NAMES: Final = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)


@dataclass(frozen=True, slots=True)
class _Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )


@dataclass(frozen=True, slots=True)
class Authority:
    """A certificate authority and the two certificates that the API needs from it."""

    _ca: _Pair
    _server: _Pair
    _admin: _Pair

    @classmethod
    def new(cls, service_address: IPv4Address) -> Self:
        """Make all keys and certificates; the server is called by loopback, by name, and by its service's address."""
        ca = _issue(_name("kubernetes"), None, x509.BasicConstraints(ca=True, path_length=None))
        alternatives = x509.SubjectAlternativeName(
            [*map(x509.DNSName, _DNS_NAMES), *map(x509.IPAddress, (IPv4Address("127.0.0.1"), service_address))]
        )
        server = _issue(
            _name("kube-apiserver"), ca, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), alternatives
        )
        admin = _issue(
            _name("kubernetes-admin", "system:masters"), ca, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
        )
        return cls(ca, server, admin)

    @property
    def ca_pem(self) -> str:
        """The CA's certificate, as ``kube-root-ca.crt`` carries it."""
        return self._ca.certificate_pem.decode()

    def server_context(self, directory: Path) -> ssl.SSLContext:
        """TLS for the server: client certificates of this CA are asked for, but tokens will do as well."""
        path = directory / "apiserver.pem"
        _write_private(path, self._server.certificate_pem + self._server.key_pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        context.load_verify_locations(cadata=self.ca_pem)
        context.verify_mode = ssl.CERT_OPTIONAL
        # HTTP/1.1 alone: streams are upgrades, and aiohttp speaks nothing else.
        context.set_alpn_protocols(["http/1.1"])
        return context

    def write_kubeconfig(self, path: Path, server: str, name: str) -> None:
        """Write the administrator's kubeconfig, readable by the owner alone.

        Args:
            path: Where to.
            server: The API server's address, ``https://127.0.0.1:40123``.
            name: What cluster, user and context are called.
        """
        user = {
            "client-certificate-data": _base64(self._admin.certificate_pem),
            "client-key-data": _base64(self._admin.key_pem),
        }
        cluster = {"server": server, "certificate-authority-data": _base64(self._ca.certificate_pem)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "users": [{"name": f"{name}-admin", "user": user}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": f"{name}-admin", "namespace": "default"}}],
            "current-context": name,
        }
        _write_private(path, yaml.safe_dump(config, sort_keys=False).encode())


def _name(common_name: str, organisation: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organisation is not None:
        attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    return x509.Name(attributes)


def _issue(subject: x509.Name, issuer: _Pair | None, *extensions: Any) -> _Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return _Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _write_private(path: Path, data: bytes) -> None:
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_bytes(data)
