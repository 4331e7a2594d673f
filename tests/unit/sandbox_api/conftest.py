"""An API server over a node without processes, and a client of it with the administrator's certificate."""

import base64
import json
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from kdev.sandbox.api.server import serve
from tests.unit.sandbox_api.fake_node import FakeNode


@dataclass
class Cluster:
    """A served cluster and a session of its administrator."""

    node: FakeNode
    session: aiohttp.ClientSession
    kubeconfig: Path
    ca: str
    url: str

    async def call(self, method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        """One request; the answer's code and JSON."""
        async with self.session.request(method, path, json=body, **options) as response:
            return response.status, await response.json()

    async def patch(self, path: str, body: Any, kind: str = "strategic-merge-patch") -> tuple[int, Any]:
        """A patch of one of the three kinds."""
        return await self.call("PATCH", path, body, headers={"Content-Type": f"application/{kind}+json"})

    async def until(self, path: str, holds: Any) -> Any:
        """Watch a collection until what holds."""
        async with self.session.get(path, params={"watch": "1"}) as response:
            async for line in response.content:
                event = json.loads(line)
                if holds(event):
                    return event
        raise AssertionError("the watch has ended")

    async def pod(self, name: str = "web", *, namespace: str = "default", **spec: Any) -> Any:
        """Create a pod and wait until it runs."""
        code, body = await self.call("POST", f"/api/v1/namespaces/{namespace}/pods", pod(name, **spec))
        assert code == 201, body
        running = lambda event: event["object"]["status"]["phase"] == "Running"  # noqa: E731
        path = f"/api/v1/namespaces/{namespace}/pods?fieldSelector=metadata.name%3D{name}"
        return (await self.until(path, running))["object"]


def pod(name: str, **spec: Any) -> dict[str, Any]:
    """A small pod."""
    containers = [{"name": "app", "image": "app:1", "ports": [{"containerPort": 8080, "name": "http"}]}]
    return {"metadata": {"name": name, "labels": {"app": "web"}}, "spec": {"containers": containers} | spec}


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A cluster without a mesh."""
    node = FakeNode()
    async with serve(node, tmp_path, inject=lambda pod, _namespace: pod) as kubeconfig:
        config = yaml.safe_load(kubeconfig.read_text())
        server, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        ca = base64.b64decode(server["certificate-authority-data"]).decode()
        pair = tmp_path / "admin.pem"
        pair.write_bytes(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
        context = ssl.create_default_context(cadata=ca)
        context.load_cert_chain(pair)
        connector = aiohttp.TCPConnector(ssl=context)
        async with aiohttp.ClientSession(server["server"], connector=connector) as session:
            yield Cluster(node, session, kubeconfig, ca, server["server"])
