"""How failures look, exactly."""

import pytest

from kdev.cli.entry import run
from kdev.cli.failures import render
from kdev.errors import TargetFailure


def test_all_parts() -> None:
    """Cause, what was seen, advice, reference and exit code, each where it always is; quoted lines stay lines."""
    failure = TargetFailure("target-not-ready", "It has no ready pod", seen="one\n ^ two", advice="look at it")
    assert render(failure) == (
        "error: It has no ready pod\n  seen: one\n         ^ two\n  next: look at it\n  [target-not-ready, exit code 4]"
    )


def test_nothing_seen() -> None:
    """Where nothing was seen there is no line for it."""
    failure = TargetFailure("target-not-ready", "It has no ready pod", advice="look at it")
    assert render(failure) == ("error: It has no ready pod\n  next: look at it\n  [target-not-ready, exit code 4]")


MALFORMED = {
    "an unknown key of a filter": (
        ["shadow", "deploy/x", "--filter", "pth=/x"],
        "error: The filter has an unknown key 'pth'\n  seen: pth=/x\n        ^ expected 'path'?",
        "[filter-syntax, exit code 2]",
    ),
    "a filter that can never match": (
        ["shadow", "deploy/x", "--filter", "method=GET POST"],
        "error: ",
        "exit code 2]",
    ),
    "a target of a kind that cannot be shadowed": (
        ["shadow", "cronjob/x"],
        "error: kdev does not shadow a 'cronjob'\n  seen: cronjob/x\n  next: write KIND/NAME with one of deploy, sts,",
        "[target-kind, exit code 2]",
    ),
    "a namespace that cannot be": (
        ["shadow", "deploy/x", "-n", "Staging"],
        "error: 'Staging' is no name of a namespace\n",
        "[namespace-name, exit code 2]",
    ),
    "a port that is none": (
        ["shadow", "deploy/x", "--port", "http"],
        "error: 'http' is no port\n  seen: --port http\n",
        "[port-syntax, exit code 2]",
    ),
    "a share that is none": (
        ["shadow", "deploy/x", "--sample", "110%"],
        "error: '110%' is no share of requests\n  seen: --sample 110%\n",
        "[sample-syntax, exit code 2]",
    ),
    "a duration that is none": (
        ["shadow", "deploy/x", "--timeout", "soon"],
        "error: 'soon' is no duration\n  seen: --timeout soon\n",
        "[duration-syntax, exit code 2]",
    ),
    "two that write to stdout": (
        ["shadow", "deploy/x", "--output", "json", "--", "true"],
        "error: The summary as JSON and the command's own output would both go to stdout\n",
        "[output-taken, exit code 2]",
    ),
    "an unknown option": (
        ["shadow", "deploy/x", "--mirorr"],
        "error: No such option '--mirorr'",
        "[usage, exit code 2]",
    ),
    "an unknown command": (["shadwo"], "error: No such command 'shadwo'", "[usage, exit code 2]"),
    "no target": (
        ["shadow"],
        "error: Missing argument 'TARGET'\n  next: see 'kdev shadow --help'",
        "[usage, exit code 2]",
    ),
    "no kubeconfig": (
        ["shadow", "deploy/x"],
        "error: There is no kubeconfig\n  seen: /nowhere/.kube/config\n",
        "[kubeconfig-missing, exit code 3]",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_can_be_told_without_a_cluster(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad input is told in one style on stderr, before any cluster is asked; stdout stays empty."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", "/nowhere")
    arguments, begin, end = MALFORMED[name]
    code = run(arguments)
    told = capsys.readouterr()
    assert told.err.startswith(begin)
    assert told.err.rstrip().endswith(end)
    assert told.err.rstrip().endswith(f"exit code {code}]")
    assert told.out == ""


def test_the_chain_for_whoever_debugs(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """With KDEV_DEBUG the chain of exceptions is told before the failure."""
    monkeypatch.setenv("KDEV_DEBUG", "1")
    run(["shadwo"])
    told = capsys.readouterr().err
    assert told.startswith("Traceback")
    assert "click.exceptions" in told
    assert told.rstrip().endswith("[usage, exit code 2]")


def test_the_sandbox_elsewhere_than_on_linux(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is said what is missing, Linux, and not a package that would not help."""
    monkeypatch.setattr("platform.system", lambda: "Darwin")
    assert run(["sandbox", "up"]) == 6
    told = capsys.readouterr().err
    assert "error: The sandbox needs Linux" in told
    assert "pip install" not in told
