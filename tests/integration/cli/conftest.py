"""Shared by the tests of ``cli``: ``kdev`` as its own process, against a cluster in the test's loop."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest_asyncio

from tests.unit.kube.fake_cluster import FakeCluster, pod_object, serve
from tests.unit.session.fake_agent import FakeAgent, serve_agent


@dataclass
class Kdev:
    """Runs ``kdev`` against one cluster.

    Attributes:
        cluster: The cluster.
        agent: Its agents.
    """

    cluster: FakeCluster
    agent: FakeAgent
    environment: dict[str, str]

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start it, with its output caught."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "kdev.cli",
            *arguments,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def run(self, *arguments: str) -> tuple[int, str, str]:
        """Run it to its end: exit code, stdout, stderr."""
        process = await self.start(*arguments)
        async with asyncio.timeout(20):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()


@pytest_asyncio.fixture
async def kdev(tmp_path: Path) -> AsyncIterator[Kdev]:
    """``kdev`` with a kubeconfig for a cluster that has deployment checkout and its one ready pod."""
    async with serve(FakeCluster()) as cluster, serve_agent(cluster) as agent:
        cluster.add_deployment()
        cluster.add_pod(pod_object())
        file = tmp_path / "kubeconfig"
        file.write_text(cluster.kubeconfig())
        yield Kdev(cluster, agent, {**os.environ, "KUBECONFIG": str(file)})
