"""``kdev shadow`` as its users see it: exit code, stdout, stderr."""

import asyncio
import json
import signal
import sys

from kdev.tunnel.messages import Detach
from tests.integration.cli.conftest import Kdev
from tests.unit.kube.fake_cluster import pod_object


async def test_the_process_gives_the_exit_code(kdev: Kdev) -> None:
    """The command is started, its output is stdout, its exit code is kdev's, and the summary goes to stderr."""
    code, out, err = await kdev.run("shadow", "deploy/checkout", "--", sys.executable, "-c", "print('hi'); exit(7)")
    assert (code, out) == (7, "hi\n")
    lines = err.splitlines()
    assert lines[0].startswith("✓ Find deploy/checkout in namespace staging (")
    assert lines[0].endswith("): checkout-1")
    assert "! checkout-1: a warning" in lines
    assert lines[-1].endswith(
        "3 matched, 2 mirrored, 0 stolen, 1 dropped, 0 fell back, 0 failed; 0 connections still direct"
    )
    assert isinstance(kdev.agent.told[-1], Detach)


async def test_interrupt_without_a_terminal(kdev: Kdev) -> None:
    """A signal that only kdev received is passed on to the process, and the pod is handed back."""
    process = await kdev.start("shadow", "deploy/checkout", "--", "sh", "-c", "echo up; exec sleep 60")
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline() == b"up\n"
    process.send_signal(signal.SIGINT)
    async with asyncio.timeout(20):
        await process.communicate()
    assert process.returncode == 128 + signal.SIGINT
    assert isinstance(kdev.agent.told[-1], Detach)


async def test_without_a_command(kdev: Kdev) -> None:
    """Without a command, kdev runs until it is interrupted, and prints the summary as JSON when asked to."""
    process = await kdev.start(
        "shadow", "deploy/checkout", "--output", "json", "--progress", "json", "--port", "8080:1"
    )
    await kdev.agent.until_listening()
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(20):
        out, err = await process.communicate()
    assert process.returncode == 0
    assert json.loads(out)["matched"] == 3
    types = [json.loads(line)["type"] for line in err.decode().splitlines()]
    assert types[0] == "step-began"
    assert types[-1] == "summary"
    assert "waiting" in types


async def test_dry_run(kdev: Kdev) -> None:
    """A dry run prints the plan, and touches nothing."""
    arguments = ("shadow", "deploy/checkout", "--filter", "path=/api/* !method=GET", "--steal", "--dry-run")
    code, out, err = await kdev.run(*arguments, "--output", "json")
    plan = json.loads(out)
    assert (code, err) == (0, "")
    assert (plan["target"], plan["mode"], plan["ports"]) == ("deploy/checkout", "steal", [{"pod": 8080, "local": 8080}])
    assert [term["term"] for term in plan["filters"][0]] == ["path=/api/*", "!method=GET"]
    assert plan["patch"]["spec"]["ephemeralContainers"][0]["image"].startswith("kdev-agent:")
    code, out, _ = await kdev.run(*arguments)
    assert code == 0
    assert out.startswith("steal deploy/checkout in namespace staging\n  pods     checkout-1\n")
    assert not kdev.cluster.patches
    assert not kdev.cluster.events


async def test_explain_with_a_target(kdev: Kdev) -> None:
    """The health probes of a target are read from its pods."""
    pod = pod_object()
    pod["spec"]["containers"][0]["readinessProbe"] = {"httpGet": {"port": 8080, "path": "/readyz"}}
    kdev.cluster.add_pod(pod)
    code, out, err = await kdev.run(
        "explain",
        "deploy/checkout",
        "--request",
        "GET /readyz",
        "-H",
        "user-agent: kube-probe/1.34",
        "--output",
        "json",
    )
    assert (code, err) == (0, "")
    assert json.loads(out)["probe"] == {"port": 8080, "path": "/readyz", "user_agent": None, "rewritten": False}


async def test_a_missing_target(kdev: Kdev) -> None:
    """A target that is not there ends with exit code 4 and the nearest name, and nothing is touched."""
    code, out, err = await kdev.run("shadow", "deploy/chekout")
    assert (code, out) == (4, "")
    assert err.splitlines()[-4:] == [
        "error: There is no deploy/chekout in namespace staging",
        "  seen: in context fake: deploy/checkout",
        "  next: did you mean deploy/checkout?",
        "  [target-not-found, exit code 4]",
    ]
    assert not kdev.cluster.patches


async def test_a_failure_among_json_lines(kdev: Kdev) -> None:
    """With JSON lines a failure is one, too."""
    code, _, err = await kdev.run("shadow", "deploy/chekout", "--progress", "json")
    failure = json.loads(err.splitlines()[-1])
    assert (code, failure["type"], failure["reference"]) == (4, "failure", "target-not-found")
    assert (failure["advice"], failure["exit_code"]) == ("did you mean deploy/checkout?", 4)


async def test_an_undeclared_port(kdev: Kdev) -> None:
    """A port that the target does not declare ends with exit code 2 and the declared ones."""
    code, _, err = await kdev.run("shadow", "deploy/checkout", "--port", "9999")
    assert code == 2
    assert "error: The target does not declare port 9999\n  seen: declared: 8080\n" in err
    assert not kdev.cluster.patches


async def test_expired_credentials(kdev: Kdev) -> None:
    """Credentials that are refused end with exit code 3, and the way to new ones."""
    kdev.cluster.token = "another"
    code, _, err = await kdev.run("shadow", "deploy/checkout")
    assert code == 3
    assert "error: The API server does not accept your credentials; they may have expired\n" in err


async def test_a_command_that_is_not_there(kdev: Kdev) -> None:
    """A command that cannot be started ends with exit code 6, after the pod was handed back."""
    code, _, err = await kdev.run("shadow", "deploy/checkout", "--", "/no/such/program")
    assert code == 6
    assert err.splitlines()[-1] == "  [command-not-started, exit code 6]"
    assert isinstance(kdev.agent.told[-1], Detach)
