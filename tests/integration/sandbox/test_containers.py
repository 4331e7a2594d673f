"""What a container is here: identity, rights, process namespaces, restarts, and what a kubelet reports."""

import json
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.sandbox.conftest import Sandbox
from tests.kubectls import kubectl

pytestmark = pytest.mark.root


def _apply(sandbox: Sandbox, name: str, *containers: dict[str, Any], **spec: Any) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "lab"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{"image": "host", **c} for c in containers],
            **spec,
        },
    }
    applied = sandbox.kubectl("apply", "-f", "-", stdin=json.dumps(pod))
    assert applied.returncode == 0, applied.stderr


def _until(sandbox: Sandbox, name: str, accepted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The pod's status once it is accepted."""
    deadline = time.monotonic() + 60
    while True:
        shown = sandbox.kubectl("-n", "lab", "get", "pod", name, "-o", "json")
        status: dict[str, Any] = json.loads(shown.stdout)["status"]
        if accepted(status):
            return status
        assert time.monotonic() < deadline, status
        time.sleep(0.1)


def _state(status: dict[str, Any]) -> dict[str, Any]:
    statuses = status.get("containerStatuses") or [{"state": {}}]
    state: dict[str, Any] = statuses[0]["state"]
    return state


def _output(sandbox: Sandbox, name: str, script: str, **context: Any) -> list[str]:
    """What a shell script prints as the first process of a container."""
    container = {"name": "app", "command": ["sh", "-c", script], "securityContext": context}
    _apply(sandbox, name, container, restartPolicy="Never")
    _until(sandbox, name, lambda status: status["phase"] in {"Succeeded", "Failed"})
    return sandbox.kubectl("-n", "lab", "logs", name).stdout.splitlines()


def test_user_groups_and_capabilities_are_the_specs(sandbox: Sandbox) -> None:
    """A container has exactly the user, groups and capabilities that its securityContext says."""
    script = "id -u; id -g; grep -E 'CapBnd|CapEff|NoNewPrivs|Groups' /proc/self/status"
    dropped = {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    lines = _output(sandbox, "rights", script, runAsGroup=0, capabilities=dropped, allowPrivilegeEscalation=False)
    assert lines[:2] == ["0", "0"]
    assert dict(line.split(":\t") for line in lines[2:]) == {
        "Groups": "0 ",
        "CapEff": f"{1 << 12:016x}",
        "CapBnd": f"{1 << 12:016x}",
        "NoNewPrivs": "1",
    }


def test_other_users_have_no_capabilities(sandbox: Sandbox) -> None:
    """Kubernetes gives users other than root none, whatever is added."""
    lines = _output(sandbox, "user", "id -u; grep CapEff /proc/self/status", runAsUser=1234)
    assert lines == ["1234", "CapEff:\t0000000000000000"]


def test_the_first_process_is_number_one_and_alone(sandbox: Sandbox) -> None:
    """A container has a process namespace, a host name and an interface of its own."""
    lines = _output(sandbox, "alone", "echo $$$$; hostname; ls /sys/class/net >/dev/null; ls /run; ls -d /proc/[0-9]*")
    assert lines[:2] == ["1", "alone"]
    assert "kdev" in lines
    assert len([line for line in lines if line.startswith("/proc/")]) <= 2


def test_volumes_appear_where_they_are_mounted(sandbox: Sandbox) -> None:
    """A ConfigMap and a shared emptyDir are at paths that the host does not have, and does not get."""
    settings = ("create", "configmap", "settings", "--from-literal=level=debug")
    assert sandbox.kubectl("-n", "lab", *settings).returncode == 0
    mounts = [
        {"name": "settings", "mountPath": "/etc/shop/settings"},
        {"name": "scratch", "mountPath": "/var/cache/kdev-test/scratch"},
    ]
    reading = (
        "cat /etc/shop/settings/level; until cat /var/cache/kdev-test/scratch/x 2>/dev/null; do :; done; hostname -I"
    )
    reader = {"name": "app", "command": ["sh", "-c", reading], "volumeMounts": mounts}
    writing = "echo written >/var/cache/kdev-test/scratch/x"
    writer = {"name": "writer", "command": ["sh", "-c", writing], "volumeMounts": mounts[1:]}
    volumes = [{"name": "settings", "configMap": {"name": "settings"}}, {"name": "scratch", "emptyDir": {}}]
    _apply(sandbox, "volumes", reader, writer, volumes=volumes, restartPolicy="Never")
    status = _until(sandbox, "volumes", lambda s: s["phase"] == "Succeeded")
    shown = sandbox.kubectl("-n", "lab", "logs", "volumes", "-c", "app").stdout
    assert shown.split() == ["debugwritten", status["podIP"]]
    assert not Path("/etc/shop").exists()
    assert not Path("/var/cache/kdev-test").exists()


@pytest.mark.parametrize("origin", ["lab/client", "staging/storefront"])
def test_a_pod_talks_to_the_api_server_as_its_service_account(sandbox: Sandbox, origin: str) -> None:
    """Token, CA and service are where every Kubernetes client looks for them, with and without a mesh."""
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    url = "https://$KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT/api/v1/nodes"
    script = f'curl -sS --cacert {folder}/ca.crt -H "Authorization: Bearer $(cat {folder}/token)" {url}'
    namespace, name = origin.split("/")
    said = json.loads(sandbox.command("exec", "-n", namespace, name, "--", "sh", "-c", script).stdout)
    assert f'User "system:serviceaccount:{namespace}:{name}" cannot list resource "nodes"' in said["message"]


def test_variables_come_from_objects_and_mounts_may_be_read_only(sandbox: Sandbox, tmp_path: Path) -> None:
    """A secret's value arrives in the environment; a read-only mount and a config map cannot be written to."""
    (tmp_path / "there").write_text("host", encoding="utf-8")
    assert sandbox.kubectl("-n", "lab", "create", "secret", "generic", "keys", "--from-literal=a=hush").returncode == 0
    mounts = [{"name": "host", "mountPath": "/etc/host-path"}, {"name": "ro", "mountPath": "/srv", "readOnly": True}]
    script = "echo $A; cat /etc/host-path/there; echo; touch /srv/x 2>/dev/null || echo refused"
    container = {
        "name": "app",
        "command": ["sh", "-c", script],
        "env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "a"}}}],
        "volumeMounts": mounts,
    }
    volumes = [{"name": "host", "hostPath": {"path": str(tmp_path)}}, {"name": "ro", "emptyDir": {}}]
    _apply(sandbox, "sources", container, volumes=volumes, restartPolicy="Never")
    _until(sandbox, "sources", lambda status: status["phase"] == "Succeeded")
    assert sandbox.kubectl("-n", "lab", "logs", "sources").stdout.split() == ["hush", "host", "refused"]


def test_a_variable_of_a_missing_object_is_a_config_error(sandbox: Sandbox) -> None:
    """The container waits with a kubelet's reason and words."""
    missing = {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "a"}}}
    _apply(sandbox, "unset", {"name": "app", "command": ["true"], "env": [missing]}, restartPolicy="Never")
    reason = "CreateContainerConfigError"
    status = _until(sandbox, "unset", lambda s: _state(s).get("waiting", {}).get("reason") == reason)
    assert 'configmap "no" not found' in _state(status)["waiting"]["message"]


def test_an_image_that_does_not_exist_is_reported_as_by_a_kubelet(sandbox: Sandbox) -> None:
    """ErrImagePull, with an event that says why."""
    _apply(sandbox, "nginx", {"name": "app", "image": "nginx:1.27"})
    waiting = _until(sandbox, "nginx", lambda s: _state(s).get("waiting", {}).get("reason") == "ErrImagePull")
    assert "no registry" in _state(waiting)["waiting"]["message"]


def test_a_program_that_does_not_exist_is_a_run_container_error(sandbox: Sandbox) -> None:
    """The kernel's refusal is in the container's status."""
    _apply(sandbox, "typo", {"name": "app", "command": ["/no/such/program"]}, restartPolicy="Never")
    status = _until(sandbox, "typo", lambda s: _state(s).get("waiting", {}).get("reason") == "RunContainerError")
    assert "No such file" in _state(status)["waiting"]["message"]


def test_a_container_that_ends_is_started_again_and_backs_off(sandbox: Sandbox) -> None:
    """The first restart is immediate, the next one waits, and the last exit code and log are kept."""
    _apply(sandbox, "crash", {"name": "app", "command": ["sh", "-c", "echo run; exit 3"]})
    status = _until(sandbox, "crash", lambda s: _state(s).get("waiting", {}).get("reason") == "CrashLoopBackOff")
    container = status["containerStatuses"][0]
    assert container["lastState"]["terminated"]["exitCode"] == 3
    assert container["restartCount"] >= 1
    assert sandbox.kubectl("-n", "lab", "logs", "crash", "--previous").stdout == "run\n"


def test_a_failed_liveness_probe_restarts_the_container(sandbox: Sandbox) -> None:
    """A container whose probe fails often enough is ended and begins anew."""
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    _apply(sandbox, "sick", {"name": "app", "command": ["sleep", "1000"], "livenessProbe": probe})
    status = _until(sandbox, "sick", lambda s: (s.get("containerStatuses") or [{}])[0].get("restartCount", 0) > 0)
    assert status["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] in {137, 143}


def test_an_ephemeral_container_joins_the_process_namespace_of_its_target(sandbox: Sandbox) -> None:
    """With a target it sees the target's processes; its exit code is reported."""
    _apply(sandbox, "target", {"name": "app", "command": ["sleep", "1000"]})
    _until(sandbox, "target", lambda s: "running" in _state(s))
    look = ("--image=host", "--container=look", "--target=app", "--profile=general")
    started = sandbox.kubectl("-n", "lab", "debug", "target", *look, "--", "sh", "-c", "cat /proc/1/comm; exit 4")
    assert started.returncode == 0, started.stderr
    status = _until(sandbox, "target", lambda s: "terminated" in s["ephemeralContainerStatuses"][0]["state"])
    assert status["ephemeralContainerStatuses"][0]["state"]["terminated"]["exitCode"] == 4
    assert sandbox.kubectl("-n", "lab", "logs", "target", "-c", "look").stdout == "sleep\n"


def test_containers_may_share_their_processes(sandbox: Sandbox) -> None:
    """shareProcessNamespace: one container sees the other's program."""
    seeing = {"name": "app", "command": ["sh", "-c", "until grep -qs 4242 /proc/[0-9]*/cmdline; do :; done; echo seen"]}
    other = {"name": "other", "command": ["sleep", "4242"]}
    _apply(sandbox, "sharing", seeing, other, shareProcessNamespace=True)
    deadline = time.monotonic() + 30
    while "seen" not in sandbox.kubectl("-n", "lab", "logs", "sharing", "-c", "app").stdout:
        assert time.monotonic() < deadline


def test_a_terminal_keeps_its_output_and_its_input(sandbox: Sandbox) -> None:
    """What a program prints and what is typed both arrive whole, though one descriptor carries both ways."""
    program = f"{kubectl('current')} --kubeconfig={sandbox.status()['kubeconfig']}"
    inside = "stty -echo; echo ready; read typed; echo got $typed; tty"
    words = f"{program} -n staging exec -it deploy/payments -c payments -- sh -c '{inside}'"
    with subprocess.Popen(["script", "-qec", words, "/dev/null"], stdin=-1, stdout=-1, text=True) as terminal:
        assert terminal.stdin is not None
        assert terminal.stdout is not None
        assert terminal.stdout.readline().strip() == "ready"
        terminal.stdin.write("hello\n")
        terminal.stdin.flush()
        rest = terminal.stdout.read().split()
    assert rest[:2] == ["got", "hello"]
    assert rest[2].startswith("/dev/pts/")


def test_status_tells_the_hosts_process_numbers(sandbox: Sandbox) -> None:
    """The pids of ``status`` are those of the host's /proc."""
    pod = sandbox.pods("staging", "storefront")[0]
    pids = {each["name"]: each["pid"] for each in pod["containers"]}
    assert b"bookstore" in Path(f"/proc/{pids['storefront']}/cmdline").read_bytes()
    assert b"sidecar" in Path(f"/proc/{pids['istio-proxy']}/cmdline").read_bytes()
