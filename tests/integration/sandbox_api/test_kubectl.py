"""A stock kubectl against the sandbox's API, over a node without processes."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kdev.sandbox.api.server import serve
from tests.kubectls import kubectl as kubectl_program
from tests.unit.sandbox_api.fake_node import FakeNode

_WEB = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - {name: app, image: "app:1", ports: [{containerPort: 8080, name: http}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
"""


@pytest.fixture(params=["current", "debian"])
def program(request: pytest.FixtureRequest) -> str:
    """Each kubectl in turn: a current one, which streams over WebSocket, and Debian's, which does over SPDY."""
    return kubectl_program(request.param)


class Kubectl:
    """Runs kubectl with the sandbox's kubeconfig."""

    def __init__(self, program: str, kubeconfig: Path) -> None:
        self._command = [program, f"--kubeconfig={kubeconfig}"]

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start a command that goes on."""
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(*self._command, *arguments, stdin=pipe, stdout=pipe, stderr=pipe)

    async def run(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        """Exit code, output and errors."""
        process = await self.start(*arguments)
        async with asyncio.timeout(60):
            out, err = await process.communicate(stdin.encode())
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def __call__(self, *arguments: str, stdin: str = "") -> str:
        """The output of a command that must succeed."""
        code, out, err = await self.run(*arguments, stdin=stdin)
        assert code == 0, err
        return out


async def _http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi")
    await writer.drain()
    writer.close()


@pytest.fixture
async def kubectl(program: str, tmp_path: Path) -> AsyncIterator[Kubectl]:
    """A cluster with the deployment web, rolled out."""
    node = FakeNode()
    server = await asyncio.start_server(_http, "127.0.0.1", 0)
    node.ports[8080] = server.sockets[0].getsockname()
    async with server, serve(node, tmp_path, inject=lambda pod, _namespace: pod) as kubeconfig:
        kubectl = Kubectl(program, kubeconfig)
        await kubectl("apply", "-f", "-", stdin=_WEB)
        await kubectl("rollout", "status", "deploy/web", "--timeout=30s")
        yield kubectl


async def _a_pod(kubectl: Kubectl) -> str:
    return (await kubectl("get", "pods", "-l", "app=web", "-o", "name")).split()[0].removeprefix("pod/")


async def test_get_describe_and_events(kubectl: Kubectl):
    """Tables, single objects and what happened to them."""
    assert "2/2" in await kubectl("get", "deployments")
    assert "10.96.0.11" in await kubectl("get", "services", "-o", "wide")
    pod = await _a_pod(kubectl)
    assert "Successfully assigned" in await kubectl("describe", "pod", pod)
    assert "ScalingReplicaSet" in await kubectl("get", "events")


async def test_apply_again_patch_scale_and_wait(kubectl: Kubectl):
    """Writing goes through the three kinds of patches."""
    assert "deployment.apps/web unchanged" in await kubectl("apply", "-f", "-", stdin=_WEB)
    await kubectl("scale", "deployment/web", "--replicas=3")
    await kubectl("wait", "--for=condition=Available", "deployment/web", "--timeout=30s")
    patch = '[{"op":"add","path":"/metadata/labels","value":{"a":"b"}}]'
    await kubectl("patch", "service", "web", "--type=json", "-p", patch)
    await kubectl("patch", "deployment", "web", "-p", '{"spec":{"replicas":1}}')
    labels = json.loads(await kubectl("get", "service", "web", "-o", "json"))["metadata"]["labels"]
    assert labels == {"a": "b"}


async def test_server_side_dry_run_and_delete(kubectl: Kubectl):
    """A dry run changes nothing; a deletion takes the pods along."""
    changed = _WEB.replace("replicas: 2", "replicas: 5")
    assert "server dry run" in await kubectl("apply", "--dry-run=server", "-f", "-", stdin=changed)
    assert "2/2" in await kubectl("get", "deployments")
    await kubectl("delete", "-f", "-", stdin=_WEB)
    async with asyncio.timeout(30):
        while await kubectl("get", "pods", "-l", "app=web", "-o", "name"):
            pass


async def test_logs(kubectl: Kubectl):
    """All, the tail, and following to the end."""
    pod = await _a_pod(kubectl)
    assert await kubectl("logs", pod) == "one\ntwo\nthree\n"
    assert await kubectl("logs", "-f", "--tail=1", pod) == "three\n"


async def test_exec(kubectl: Kubectl):
    """Output, exit code and piped input."""
    pod = await _a_pod(kubectl)
    assert await kubectl("exec", pod, "--", "echo", "hello") == "hello\n"
    code, _, err = await kubectl.run("exec", pod, "--", "false")
    assert (code, "exit code 7" in err) == (7, True)
    assert await kubectl("exec", "-i", pod, "--", "cat", stdin="piped") == "piped"


async def test_port_forward(kubectl: Kubectl):
    """Several connections through one port-forward."""
    forwarding = await kubectl.start("port-forward", await _a_pod(kubectl), ":8080", "--address=127.0.0.1")
    assert forwarding.stdout is not None
    try:
        line = await asyncio.wait_for(forwarding.stdout.readline(), 30)
        port = line.decode().split()[2].rpartition(":")[2]
        for _ in range(3):
            answer = await asyncio.to_thread(urllib.request.urlopen, f"http://127.0.0.1:{port}/", None, 30)
            with answer:
                assert answer.read() == b"hi"
    finally:
        forwarding.kill()
        await forwarding.communicate()


async def test_debug(kubectl: Kubectl):
    """An ephemeral container is added."""
    pod = await _a_pod(kubectl)
    await kubectl("debug", pod, "--image=tool:1", "-c", "tool", "--attach=false", "--", "sleep", "1")
    names = await kubectl("get", "pod", pod, "-o", "jsonpath={.spec.ephemeralContainers[*].name}")
    assert names == "tool"


async def test_auth_can_i(kubectl: Kubectl):
    """The administrator may, a service account without roles may not."""
    assert (await kubectl("auth", "can-i", "list", "pods")).strip() == "yes"
    account = "--as=system:serviceaccount:default:default"
    code, out, _ = await kubectl.run("auth", "can-i", "list", "pods", account)
    assert (code, out.strip()) == (1, "no")


async def test_namespaces_and_roles_are_created_by_typed_commands(kubectl: Kubectl):
    """Commands that send protobuf (current kubectl) or JSON without saying so (the old one) are understood."""
    await kubectl("create", "namespace", "shop")
    await kubectl("create", "serviceaccount", "dev", "-n", "shop")
    await kubectl("create", "role", "reader", "--verb=get,list", "--resource=pods", "-n", "shop")
    await kubectl("create", "rolebinding", "dev", "--role=reader", "--serviceaccount=shop:dev", "-n", "shop")
    allowed = await kubectl("auth", "can-i", "list", "pods", "-n", "shop", "--as=system:serviceaccount:shop:dev")
    assert allowed.strip() == "yes"
    await kubectl("delete", "namespace", "shop")
