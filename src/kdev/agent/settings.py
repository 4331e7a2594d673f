"""What the agent is told before anybody has talked to it: the environment of its container.

The laptop writes these variables into the ephemeral container's spec (``kube.placement``). Nothing in them is
secret: whoever may read the pod may read them.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass

from kdev.errors import AgentFailure

SESSION_ID = "KDEV_SESSION_ID"
LAPTOP_KEY = "KDEV_PUBLIC_KEY"
OWNER = "KDEV_OWNER"
PORT = "KDEV_AGENT_PORT"

DEFAULT_PORT = 15990
"""Where the agent listens for the tunnel unless told otherwise: no mesh uses it (mesh adapters' reserved ports)."""


@dataclass(frozen=True)
class Settings:
    """One agent serves one session.

    Attributes:
        laptop_key: The only Ed25519 public key that may open the tunnel, 32 bytes.
        owner: Who began the session, as a refused second one is told.
        port: Loopback port for the tunnel.
    """

    session_id: str
    laptop_key: bytes
    owner: str
    port: int

    def environment(self) -> dict[str, str]:
        """The variables from which ``read`` makes the same settings."""
        return {
            SESSION_ID: self.session_id,
            LAPTOP_KEY: base64.b64encode(self.laptop_key).decode(),
            OWNER: self.owner,
            PORT: str(self.port),
        }


def read(environment: Mapping[str, str]) -> Settings:
    """Read the settings.

    Raises:
        AgentFailure: A variable is missing or is not what it should be.
    """
    try:
        key = base64.b64decode(environment[LAPTOP_KEY], validate=True)
        port = int(environment.get(PORT, DEFAULT_PORT))
        settings = Settings(environment[SESSION_ID], key, environment.get(OWNER, "unknown"), port)
    except (KeyError, ValueError, binascii.Error) as error:
        raise _wrong(str(error)) from error
    if len(key) != 32:
        raise _wrong(f"{LAPTOP_KEY} holds {len(key)} bytes")
    if not 0 < port < 65536:
        raise _wrong(f"{PORT}={port}")
    return settings


def _wrong(seen: str) -> AgentFailure:
    return AgentFailure(
        "agent-environment",
        "The agent was started without the settings of a session",
        seen=seen,
        advice="the agent's container is made by 'kdev shadow'; it is of no use by itself",
    )
