"""A small API server that answers what a test puts into it, and forwards ports to loopback as a kubelet would."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import WSMsgType, web

from kdev.kube.api import Api
from kdev.kube.kubeconfig import Selection, read_kubeconfig

Json = dict[str, Any]


def pod_object(name: str = "checkout-1", namespace: str = "staging", *, ready: bool = True, **spec: Any) -> Json:
    """A pod of one container that declares port 8080."""
    containers = [{"name": "app", "image": "shop", "ports": [{"containerPort": 8080}]}]
    return {
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "uid": f"uid-{name}", "labels": {"app": "checkout"}},
        "spec": {"containers": containers} | spec,
        "status": {
            "phase": "Running",
            "podIP": "10.1.0.7",
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


@dataclass
class FakeCluster:
    """The server's answers, and what it was asked.

    Attributes:
        objects: Bodies by path; a list's path answers with the objects below it that the selector finds.
        denied: (verb, resource) pairs that access reviews deny.
        admission: The message of a 403 for patches of ephemeral containers; empty to admit.
        answer: Replaces every answer by (code, body) when set.
        ports: The loopback port that stands in for a pod's.
        agent: The loopback port that stands in for every agent's.
        agent_state: The state of every ephemeral container.
        logs: What each container has written.
        asked: Released for every request that ``answer`` answers.
        requests: (method, path with query) of everything that was asked.
    """

    url: str = ""
    objects: dict[str, Json] = field(default_factory=dict)
    denied: set[tuple[str, str]] = field(default_factory=set)
    admission: str = ""
    answer: tuple[int, bytes] | None = None
    asked: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    token: str = ""
    ports: dict[int, int] = field(default_factory=dict)
    agent: int = 1
    agent_state: Json = field(default_factory=lambda: {"running": {}})
    logs: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str]] = field(default_factory=list)
    patches: list[Json] = field(default_factory=list)
    patched: asyncio.Event = field(default_factory=asyncio.Event)
    events: list[Json] = field(default_factory=list)

    def add_pod(self, pod: Json) -> None:
        """Store a pod."""
        meta = pod["metadata"]
        self.objects[f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"] = pod

    def add_deployment(self, name: str = "checkout", namespace: str = "staging") -> None:
        """Store a deployment that selects ``app=NAME``."""
        self.objects[f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"] = {
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {"selector": {"matchLabels": {"app": name}}},
        }

    def kubeconfig(self, **user: Any) -> str:
        """A kubeconfig for it."""
        return yaml.safe_dump(
            {
                "current-context": "fake",
                "contexts": [{"name": "fake", "context": {"cluster": "c", "user": "u", "namespace": "staging"}}],
                "clusters": [{"name": "c", "cluster": {"server": self.url}}],
                "users": [{"name": "u", "user": user or {"token": "t"}}],
            }
        )

    def selection(self, tmp_path: Path, **user: Any) -> Selection:
        """That kubeconfig, read."""
        file = tmp_path / "kubeconfig"
        file.write_text(self.kubeconfig(**user))
        return read_kubeconfig({"KUBECONFIG": str(file)}, None)

    def api(self, tmp_path: Path, **user: Any) -> Api:
        """A client for it."""
        return Api(self.selection(tmp_path, **user))

    async def handle(self, request: web.Request) -> web.StreamResponse:  # noqa: PLR0911 - a table of paths
        """Answer one request."""
        self.requests.append((request.method, str(request.rel_url)))
        if self.answer is not None:
            self.asked.release()
            return web.Response(status=self.answer[0], body=self.answer[1])
        if self.token and request.headers.get("authorization") != f"Bearer {self.token}":
            return status(401, "Unauthorized", "Unauthorized")
        path = request.path
        if path.endswith("/selfsubjectaccessreviews"):
            return self._review(await request.json())
        if path.endswith("/events") and request.method == "POST":
            self.events.append(event := await request.json())
            return web.json_response(event, status=201)
        if path.endswith("/ephemeralcontainers"):
            return await self._patch(request)
        if path.endswith("/portforward"):
            return await self._forward(request)
        if path.endswith("/log"):
            return web.Response(body=self.logs.get(request.query["container"], b""))
        if path in self.objects:
            return web.json_response(self.objects[path])
        if path.rsplit("/", 1)[-1] in {"pods", "deployments", "statefulsets", "daemonsets", "services"}:
            return self._list(path, request.query.get("labelSelector", ""))
        return status(404, "NotFound", f'"{path}" not found')

    def _list(self, path: str, selector: str) -> web.Response:
        items = [body for where, body in self.objects.items() if where.startswith(path + "/")]
        if selector:
            key, _, value = selector.partition("=")
            items = [item for item in items if item["metadata"].get("labels", {}).get(key) == value]
        return web.json_response({"kind": "List", "metadata": {}, "items": items})

    def _review(self, review: Json) -> web.Response:
        wanted = review["spec"]["resourceAttributes"]
        resource = "/".join(filter(None, (wanted["resource"], wanted.get("subresource", ""))))
        allowed = (wanted["verb"], resource) not in self.denied
        return web.json_response({"kind": "SelfSubjectAccessReview", "status": {"allowed": allowed}}, status=201)

    async def _patch(self, request: web.Request) -> web.Response:
        pod = self.objects.get(request.path.removesuffix("/ephemeralcontainers"))
        if pod is None:
            return status(404, "NotFound", "pods not found")
        if self.admission:
            return status(403, "Forbidden", self.admission)
        if "dryRun" not in request.query:
            patch = await request.json()
            self.patches.append(patch)
            self.patched.set()
            pod["status"]["ephemeralContainerStatuses"] = [
                {"name": container["name"], "state": self.agent_state}
                for one in self.patches
                for container in one["spec"]["ephemeralContainers"]
            ]
        return web.json_response(pod)

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        """Speak v4.channel.k8s.io; ends without a closing handshake, as an API server's proxy does."""
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",), max_msg_size=8 << 20)
        await socket.prepare(request)
        port = int(request.query["ports"])
        for channel in (b"\x00", b"\x01"):
            await socket.send_bytes(channel + port.to_bytes(2, "little"))
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.ports.get(port, self.agent))
        except OSError as error:
            await socket.send_bytes(b"\x01" + f"error forwarding port {port}: {error}".encode())
        else:
            await self._pump(socket, reader, writer)
        if request.transport is not None:
            request.transport.close()
        return socket

    async def _pump(
        self, socket: web.WebSocketResponse, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        async def from_pod() -> None:
            while data := await reader.read(32 * 1024):
                await socket.send_bytes(b"\x00" + data)
            await socket.close()

        async with asyncio.TaskGroup() as tasks:
            upward = tasks.create_task(from_pod())
            async for message in socket:
                if message.type is WSMsgType.BINARY and message.data[:1] == b"\x00":
                    writer.write(message.data[1:])
                    await writer.drain()
            upward.cancel()
        writer.close()


def status(code: int, reason: str, message: str) -> web.Response:
    """A Kubernetes Status."""
    body = {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}
    return web.json_response(body, status=code)


@asynccontextmanager
async def serve(cluster: FakeCluster, tls: ssl.SSLContext | None = None) -> AsyncIterator[FakeCluster]:
    """Serve it on a free loopback port."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", cluster.handle)
    runner = web.AppRunner(application, handle_signals=False, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = runner.addresses[0][1]
    cluster.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
    try:
        yield cluster
    finally:
        await runner.cleanup()
