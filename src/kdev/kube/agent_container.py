"""The ephemeral container that the agent runs in, as it stands in the patch to the pod.

It has no ``targetContainerName``: in the application's process namespace it would die with the application and never
be started again. It asks for the least that a tap needs (``docs/explanation``): NET_ADMIN for its nft table, SETUID and
SETGID to send its self-test as the sidecar would.
"""

from dataclasses import dataclass

from kdev import __version__
from kdev.agent.settings import Settings

AGENT_IMAGE = f"kdev-agent:{__version__}"
"""The agent must be of the laptop's version: the session protocol is compared when they meet."""

CAPABILITIES = ("NET_ADMIN", "SETUID", "SETGID")


@dataclass(frozen=True, slots=True)
class AgentSpec:
    """Which agent to place.

    Attributes:
        image: Its image, from which the pod's node must be able to pull.
        settings: What its environment tells it.
    """

    image: str
    settings: Settings

    @property
    def container(self) -> str:
        """The container's name: single use, because an ephemeral container stays in its pod's spec."""
        return f"kdev-{self.settings.session_id}"

    def patch(self) -> dict[str, object]:
        """The strategic merge patch of ``pods/ephemeralcontainers``."""
        return {"spec": {"ephemeralContainers": [self._container()]}}

    def _container(self) -> dict[str, object]:
        return {
            "name": self.container,
            "image": self.image,
            "imagePullPolicy": "IfNotPresent",
            "env": [{"name": name, "value": value} for name, value in self.settings.environment().items()],
            "securityContext": {
                "runAsUser": 0,
                "runAsGroup": 0,
                "runAsNonRoot": False,
                "privileged": False,
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"], "add": list(CAPABILITIES)},
                "seccompProfile": {"type": "RuntimeDefault"},
            },
        }
