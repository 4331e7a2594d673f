"""Shared by the tests of ``session``: a cluster, an agent in it, and a local port that somebody listens on."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.kube.fake_cluster import FakeCluster, pod_object, serve
from tests.unit.session.fake_agent import FakeAgent, serve_agent


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    """A cluster with deployment checkout and its one ready pod."""
    async with serve(FakeCluster()) as served:
        served.add_deployment()
        served.add_pod(pod_object())
        yield served


@pytest_asyncio.fixture
async def agent(cluster: FakeCluster) -> AsyncIterator[FakeAgent]:
    """The agent that every patch of that cluster starts."""
    async with serve_agent(cluster) as serving:
        yield serving


@pytest_asyncio.fixture
async def local_port() -> AsyncIterator[int]:
    """A port of this machine that accepts connections."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
