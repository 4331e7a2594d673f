"""The patch that places the agent."""

from kdev.agent.settings import Settings, read
from kdev.kube.agent_container import AgentSpec

SPEC = AgentSpec("registry.example/kdev-agent:1", Settings("0a1b2c3d", bytes(32), "alice@laptop", 15990))


def test_the_patch() -> None:
    """The container asks for three capabilities, and for nothing that an ephemeral container may not have."""
    (container,) = SPEC.patch()["spec"]["ephemeralContainers"]  # type: ignore[index]
    assert container["securityContext"] == {
        "runAsUser": 0,
        "runAsGroup": 0,
        "runAsNonRoot": False,
        "privileged": False,
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", "SETUID", "SETGID"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert set(container) == {"name", "image", "imagePullPolicy", "env", "securityContext"}
    assert container["name"] == SPEC.container == "kdev-0a1b2c3d"


def test_the_agent_reads_what_the_patch_says() -> None:
    """The environment in the patch is what the agent's settings are read from."""
    (container,) = SPEC.patch()["spec"]["ephemeralContainers"]  # type: ignore[index]
    assert read({variable["name"]: variable["value"] for variable in container["env"]}) == SPEC.settings
