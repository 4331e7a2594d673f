"""The page for whoever looks after the cluster: its Roles and its commands."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.docs.following import ROOT, follow
from tests.integration.sandbox.conftest import Sandbox, named

pytestmark = pytest.mark.root

PAGE = ROOT / "docs" / "how-to" / "allow-kdev-in-a-namespace.md"
ROLE, TRAIL = (
    yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
)
SHADOW = ("shadow", "deploy/checkout", "--namespace", "staging")
WITHIN = 60.0
"""Seconds after which a command has hung."""


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running sandbox of this page's own."""
    own = named("rights", tmp_path_factory.mktemp("rights"))
    try:
        started = own.command("up")
        assert started.returncode == 0, started.stderr
        yield own
    finally:
        assert own.command("down").returncode == 0


class Developer:
    """A service account that has the given Roles and nothing else, and runs ``kdev``."""

    def __init__(self, sandbox: Sandbox, name: str, roles: list[dict[str, Any]], directory: Path) -> None:
        self._sandbox = sandbox
        self._kubectl("create", "serviceaccount", name)
        for number, role in enumerate(roles):
            named_role = role | {"metadata": role["metadata"] | {"name": f"{name}-{number}"}}
            self._kubectl("apply", "-f", "-", stdin=json.dumps(named_role))
            self._kubectl(
                "create",
                "rolebinding",
                f"{name}-{number}",
                f"--role={name}-{number}",
                f"--serviceaccount=staging:{name}",
            )
        token = self._kubectl("create", "token", name).strip()
        config = yaml.safe_load(Path(sandbox.status()["kubeconfig"]).read_text())
        config["users"] = [{"name": user["name"], "user": {"token": token}} for user in config["users"]]
        file = directory / f"{name}.kubeconfig"
        file.write_text(yaml.safe_dump(config))
        self._environment = {**sandbox.environment, "KUBECONFIG": str(file)}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start ``kdev`` with both its outputs in one."""
        return subprocess.Popen(
            [sys.executable, "-m", "kdev.cli", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *arguments: str) -> tuple[int, str]:
        """Run ``kdev`` to its end."""
        with self.start(*arguments) as process:
            output, _ = process.communicate(timeout=WITHIN)
            return process.returncode, output

    def _kubectl(self, *words: str, stdin: str = "") -> str:
        done = self._sandbox.kubectl("-n", "staging", *words, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout


def test_every_command_prints_what_the_page_says(sandbox: Sandbox, tmp_path: Path) -> None:
    """Binding, refusal by Pod Security and the plan are as they are shown."""
    kdev = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    granted = sandbox.kubectl("apply", "-f", "-", stdin=json.dumps(ROLE))
    assert granted.returncode == 0, granted.stderr
    follow(PAGE, {**sandbox.environment, "PATH": kdev, "KUBECONFIG": sandbox.status()["kubeconfig"]})


@pytest.mark.parametrize("number", range(len(ROLE["rules"])))
def test_no_rule_is_superfluous(sandbox: Sandbox, tmp_path: Path, number: int) -> None:
    """Without any one of the Role's rules the session is refused before anything is touched."""
    rules = [rule for place, rule in enumerate(ROLE["rules"]) if place != number]
    developer = Developer(sandbox, f"without-{number}", [ROLE | {"rules": rules}], tmp_path)
    code, output = developer.run(*SHADOW, "--dry-run")
    assert (code, "rights-missing" in output) == (3, True), output


@pytest.mark.parametrize(("name", "roles"), [("least", [ROLE]), ("trail", [ROLE, TRAIL])])
def test_the_roles_suffice(sandbox: Sandbox, tmp_path: Path, name: str, roles: list[dict[str, Any]]) -> None:
    """Whoever has exactly the Role shadows a deployment; with the second Role, Events tell of it."""
    developer = Developer(sandbox, name, roles, tmp_path)
    before = _events(sandbox)
    with developer.start(*SHADOW, "--port", "8080:1", "--progress", "json") as process:
        assert process.stdout is not None
        seen = ""
        while '"waiting"' not in seen and '"ready"' not in seen:
            line = process.stdout.readline()
            assert line, seen
            seen += line
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=WITHIN)
        assert process.returncode == 0, seen + rest
    assert ("No Event was written" in seen) is (TRAIL not in roles)
    assert (_events(sandbox) > before) is (TRAIL in roles)


def _events(sandbox: Sandbox) -> int:
    listed = sandbox.kubectl("-n", "staging", "get", "events", "-o", "json")
    return sum(event["source"].get("component") == "kdev" for event in json.loads(listed.stdout)["items"])
