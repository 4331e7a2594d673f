"""What both ends of a handshake sign, and how a signature is checked."""

from dataclasses import dataclass
from enum import Enum

from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

from kdev.tunnel.messages import PROTOCOL_VERSION

KEY_SIZE = 32
"""Bytes of an Ed25519 public key (RFC 8032, section 5.1.5)."""

NONCE_SIZE = 32
"""Bytes of a nonce: no two connections ever share one."""

_DOMAIN = b"kdev tunnel handshake"


class Signer(Enum):
    """Whose signature it is: the other role's over the same facts is worth nothing."""

    LAPTOP = b"laptop"
    AGENT = b"agent"


@dataclass(frozen=True, slots=True)
class Facts:
    """What makes this connection different from all others."""

    session: str
    laptop_key: bytes
    agent_key: bytes
    laptop_nonce: bytes
    agent_nonce: bytes

    def transcript(self, signer: Signer) -> bytes:
        """The bytes to sign: each field preceded by its length, so that no two lists of fields look alike."""
        fields = (
            _DOMAIN,
            signer.value,
            str(PROTOCOL_VERSION).encode(),  # the line with which both ends began
            self.session.encode(),
            self.laptop_key,
            self.agent_key,
            self.laptop_nonce,
            self.agent_nonce,
        )
        return b"".join(len(field).to_bytes(4, "big") + field for field in fields)

    def sign(self, signer: Signer, key: SigningKey) -> bytes:
        """The signature of one end."""
        return key.sign(self.transcript(signer)).signature

    def verify(self, signer: Signer, signature: bytes) -> bool:
        """Whether the signature is of the end that it should be of."""
        key = self.laptop_key if signer is Signer.LAPTOP else self.agent_key
        try:
            VerifyKey(key).verify(self.transcript(signer), signature)
        except (CryptoError, ValueError):  # ValueError: a signature of the wrong length
            return False
        return True
