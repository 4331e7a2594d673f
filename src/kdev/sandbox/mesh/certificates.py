"""The mesh's certificate authority: short-lived workload certificates with SPIFFE identities."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kdev.sandbox.mesh.shape import TRUST_DOMAIN

LIFETIME = timedelta(hours=1)
"""Of a workload certificate. Istio's live a day; an hour shows renewal to whoever works an afternoon."""

_ROOT_LIFETIME = timedelta(days=30)
_CLOCK_SKEW = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Certificate:
    """A workload's certificate chain and private key, both PEM."""

    chain: str
    key: str


class CertificateAuthority:
    """An authority that lives in memory and dies with its sandbox.

    Attributes:
        root: Its certificate, PEM.
        lifetime: Of the certificates it issues.
    """

    def __init__(self, lifetime: timedelta = LIFETIME) -> None:
        self.lifetime = lifetime
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, TRUST_DOMAIN)])
        now = datetime.now(UTC)
        root = (
            _builder(self._name, self._name, self._key.public_key(), now, _ROOT_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.root = root.public_bytes(serialization.Encoding.PEM).decode()

    def issue(self, identity: str) -> Certificate:
        """A certificate whose only name is a SPIFFE identity, as Istio's: its subject is empty."""
        key = ec.generate_private_key(ec.SECP256R1())
        usage = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        certificate = (
            _builder(x509.Name([]), self._name, key.public_key(), datetime.now(UTC), self.lifetime)
            .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usage), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Certificate(certificate.public_bytes(serialization.Encoding.PEM).decode() + self.root, private.decode())


def spiffe_identity(namespace: str, service_account: str) -> str:
    """A workload's name (istio pkg/spiffe)."""
    return f"spiffe://{TRUST_DOMAIN}/ns/{namespace}/sa/{service_account}"


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: datetime, lifetime: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )
