"""Commands that need no cluster."""

import json
import subprocess
import sys

import click
import pytest

from kdev import __version__
from kdev.cli import entry
from kdev.cli.entry import run
from kdev.cli.values import parse_duration, parse_share


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version goes to stdout, as text or as JSON."""
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith(f"kdev {__version__} ")
    assert run(["version", "--output", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["version"] == __version__


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    """The help can be asked for, and names all commands."""
    assert run(["--help"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in ("shadow", "explain", "sandbox", "version"))


def test_the_help_waits_for_no_command() -> None:
    """The summaries are the commands' own, though none of them is imported for the help."""
    command = "import sys; from kdev.cli.entry import run; run(['--help']); sys.exit('kdev.kube' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout
    with click.Context(entry.kdev) as context:
        for name in ("shadow", "explain", "sandbox", "version"):
            found = entry.kdev.get_command(context, name)
            assert found is not None
            assert found.get_short_help_str(200) in " ".join(told.split())


def test_explain_a_match(capsys: pytest.CaptureFixture[str]) -> None:
    """Each term is told with what it saw."""
    arguments = ["--filter", "path=/api/* header.x-dev=alice", "--request", "GET /api/x", "-H", "X-Dev: alice"]
    assert run(["explain", *arguments]) == 0
    assert capsys.readouterr().out == (
        "matches\n"
        "  ✓ --filter 'path=/api/* header.x-dev=alice'\n"
        "      ✓ path=/api/*: saw '/api/x'\n"
        "      ✓ header.x-dev=alice: saw 'alice'\n"
    )


def test_explain_a_miss(capsys: pytest.CaptureFixture[str]) -> None:
    """What did not hold is marked, also as JSON."""
    assert run(["explain", "--filter", "header.x-dev=alice", "--request", "GET /", "--output", "json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["matched"] is False
    assert verdict["filters"][0]["terms"][0]["seen"] == []


def test_explain_a_probe(capsys: pytest.CaptureFixture[str]) -> None:
    """A health probe matches nothing, and the same path from somebody else may."""
    arguments = ["--request", "GET /healthz?full", "--probe", "8080/healthz"]
    assert run(["explain", *arguments, "-H", "user-agent: kube-probe/1.34"]) == 0
    assert capsys.readouterr().out == (
        "does not match\n"
        "  ✗ it is a health probe, which always stays on the pod (see --no-exclude-probes of 'kdev shadow')\n"
        "  there is no filter: every other request matches\n"
    )
    assert run(["explain", *arguments, "-H", "user-agent: curl/8"]) == 0
    assert capsys.readouterr().out == (
        "matches\n"
        "  there is no filter: every request matches\n"
        "  a health probe asks for /healthz, too; this request is not one by its method or user-agent\n"
    )
    assert run(["explain", *arguments, "--port", "80", "--output", "json", "-H", "user-agent: kube-probe/1.34"]) == 0
    assert json.loads(capsys.readouterr().out)["matched"] is True


@pytest.mark.parametrize(
    ("arguments", "reference"),
    [
        (["--request", "GET"], "request-syntax"),
        (["--request", "GET /x", "-H", "no colon"], "header-syntax"),
        (["--request", "GET /x", "-H", "a: b\r\nc: d"], "header-syntax"),
        (["--request", "GET /x", "--filter", "nonsense"], "filter-syntax"),
        (["--request", "GET /x", "--probe", "/healthz"], "probe-syntax"),
        (["--request", "GET /x", "--probe", "70000/healthz"], "probe-syntax"),
        (["--request", "GET /x", "cronjob/x"], "target-kind"),
    ],
)
def test_what_cannot_be_explained(arguments: list[str], reference: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A request or a filter that is none is refused."""
    assert run(["explain", *arguments]) == 2
    assert f"[{reference}, exit code 2]" in capsys.readouterr().err


def test_durations() -> None:
    """Milliseconds to hours, and plain seconds."""
    assert [parse_duration(text) for text in ("500ms", "5s", "2m", "1h", "1.5")] == [0.5, 5, 120, 3600, 1.5]


def test_shares() -> None:
    """Percent, or a fraction."""
    assert [parse_share(text) for text in ("10%", "0.1", "100%", "1")] == [0.1, 0.1, 1, 1]
