"""What the commands decide without a sandbox: names, places, choices, manifests."""

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from kdev.errors import LocalFailure, TargetFailure, UsageFailure
from kdev.sandbox.bookstore import bookstore
from kdev.sandbox.commands import sandbox
from kdev.sandbox.lifetime import start
from kdev.sandbox.manifests import Port, Workload, names
from kdev.sandbox.selection import choose_container, choose_pod
from kdev.sandbox.state import State


def _pod(namespace: str, name: str, *, ready: bool = True, containers: tuple[str, ...] = ("app",)) -> dict[str, Any]:
    described = [{"name": each, "pid": 1, "ephemeral": each.startswith("kdev-")} for each in containers]
    return {"namespace": namespace, "name": name, "ready": ready, "containers": described}


PODS = [
    _pod("staging", "checkout-5-a"),
    _pod("staging", "storefront-7-b", containers=("kdev-1", "istio-proxy", "app")),
    _pod("staging", "zoo-1-c", ready=False),
    _pod("lab", "client-1-d"),
    _pod("staging", "gone-1-e", containers=()),
]


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "..", "x" * 41])
def test_names_that_could_not_be_directories_are_refused(name: str) -> None:
    """A sandbox's name is checked before anything is touched."""
    with pytest.raises(UsageFailure, match="cannot be"):
        State.of(name, {})


def test_a_directory_that_others_may_read_is_refused(tmp_path: Path) -> None:
    """Keys are never written where somebody else can look."""
    state = State.of("a", {"XDG_RUNTIME_DIR": str(tmp_path)})
    state.create()
    state.directory.chmod(0o755)
    with pytest.raises(LocalFailure, match="belong to you alone"):
        state.create()


def test_a_runtime_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    """XDG_RUNTIME_DIR may name a directory that a login would have made."""
    with pytest.raises(LocalFailure, match="cannot be made"):
        State.of("a", {"XDG_RUNTIME_DIR": str(tmp_path / "none")}).create()


def test_up_without_root_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is made before the right to make it is known."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LocalFailure, match="needs root"):
        start(State.of("a", {"XDG_RUNTIME_DIR": str(tmp_path)}), pytest.fail)
    assert list(tmp_path.iterdir()) == []


def test_a_sandbox_runs_as_long_as_its_lock_is_held(tmp_path: Path) -> None:
    """The lock alone tells whether a sandbox runs; a file that a crash left tells nothing."""
    state = State.of("a", {"XDG_RUNTIME_DIR": str(tmp_path)})
    assert state.running_pid() is None
    state.create()
    lock = state.take_lock()
    assert state.running_pid() == os.getpid()
    with pytest.raises(BlockingIOError):
        state.take_lock()
    os.close(lock)
    assert state.running_pid() is None
    assert state.lock_file.exists()


def test_commands_say_that_no_sandbox_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that needs a sandbox names the command that starts one."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    result = CliRunner().invoke(sandbox, ["status", "--name", "x"])
    assert isinstance(result.exception, LocalFailure)
    assert "kdev sandbox up --name x" in result.exception.explanation.advice


def test_down_of_nothing_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``down`` may be repeated."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert CliRunner().invoke(sandbox, ["down"]).exit_code == 0


def test_run_refuses_a_malformed_variable_before_it_looks_for_a_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad input is told whether or not a sandbox runs."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    result = CliRunner().invoke(sandbox, ["run", "x", "--port", "1", "--env", "LEVEL", "--", "true", "--port"])
    assert isinstance(result.exception, UsageFailure)


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("checkout-5-a", "checkout-5-a"),
        ("staging", "storefront-7-b"),
        ("lab", "client-1-d"),
        ("checkout", "checkout-5-a"),
        ("lab/client", "client-1-d"),
        ("zoo", "zoo-1-c"),
    ],
)
def test_a_pod_is_chosen_by_its_name_its_workload_or_its_namespace(origin: str, expected: str) -> None:
    """Ready pods come first, and the choice is always the same."""
    assert choose_pod(PODS, origin)["name"] == expected


@pytest.mark.parametrize("origin", ["nope", "lab/checkout", "gone"])
def test_what_does_not_run_is_not_found(origin: str) -> None:
    """A pod that is not there, elsewhere or without containers is told with those that are."""
    with pytest.raises(TargetFailure, match="staging/checkout-5-a"):
        choose_pod(PODS, origin)


def test_the_apps_container_is_the_default() -> None:
    """Neither sidecars nor ephemeral containers are meant unless they are named."""
    assert choose_container(PODS[1], "", "istio-proxy")["name"] == "app"
    assert choose_container(PODS[1], "istio-proxy", "istio-proxy")["name"] == "istio-proxy"
    with pytest.raises(TargetFailure, match="no running container"):
        choose_container(PODS[1], "x", "istio-proxy")


def test_the_bookstore_is_what_is_promised() -> None:
    """Two namespaces; checkout has two pods and gRPC on a second port."""
    objects = bookstore()
    assert [o["metadata"]["name"] for o in objects if o["kind"] == "Namespace"] == ["staging", "lab"]
    assert names(objects)[:3] == [("staging", "storefront"), ("staging", "checkout"), ("staging", "payments")]
    deployments = {o["metadata"]["name"]: o for o in objects if o["kind"] == "Deployment"}
    services = {o["metadata"]["name"]: o for o in objects if o["kind"] == "Service"}
    assert deployments["checkout"]["spec"]["replicas"] == 2
    assert [port["name"] for port in services["checkout"]["spec"]["ports"]] == ["http", "grpc"]


def test_a_workload_is_an_account_a_service_and_a_deployment() -> None:
    """The objects belong together by name and label."""
    account, service, deployment = Workload("web", "staging", "host", (Port("http", 80, 8080),)).objects()
    assert account["kind"] == "ServiceAccount"
    assert service["spec"]["ports"] == [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
