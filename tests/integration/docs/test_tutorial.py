"""The tutorial, typed as it stands."""

from pathlib import Path

import pytest

from tests.integration.docs.following import ROOT, follow
from tests.integration.sandbox.conftest import named

pytestmark = pytest.mark.root


def test_every_command_prints_what_the_tutorial_says(tmp_path: Path) -> None:
    """From `make setup` to the end, each command prints the lines that are shown below it."""
    sandbox = named("tutorial", tmp_path)
    try:
        follow(ROOT / "docs" / "tutorial.md", sandbox.environment)
    finally:
        assert sandbox.command("down").returncode == 0
