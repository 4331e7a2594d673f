"""The agent's environment: read whole, or refused with a name."""

import pytest

from kdev.agent import settings
from kdev.agent.settings import Settings
from kdev.errors import AgentFailure

SETTINGS = Settings("abc", bytes(range(32)), "alice@laptop", 15991)


def test_settings_survive_the_environment() -> None:
    """What the laptop writes into the container's spec is what the agent reads."""
    assert settings.read(SETTINGS.environment()) == SETTINGS


@pytest.mark.parametrize(
    "change",
    [
        {settings.LAPTOP_KEY: "not base64!"},
        {settings.LAPTOP_KEY: "AAAA"},
        {settings.PORT: "http"},
        {settings.PORT: "0"},
        {settings.PORT: "65536"},
    ],
)
def test_wrong_setting_is_refused(change: dict[str, str]) -> None:
    """A value that cannot be meant is a failure with a reference."""
    with pytest.raises(AgentFailure) as failure:
        settings.read(SETTINGS.environment() | change)
    assert failure.value.explanation.reference == "agent-environment"


def test_missing_session_is_refused() -> None:
    """An agent started by hand says that it is of no use by itself."""
    with pytest.raises(AgentFailure):
        settings.read({})
