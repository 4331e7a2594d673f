"""Shared by the tests of ``kube``: a cluster that runs in the test's own loop."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.unit.kube.fake_cluster import FakeCluster, pod_object, serve


@pytest_asyncio.fixture
async def cluster() -> AsyncIterator[FakeCluster]:
    """A cluster with deployment checkout and its one ready pod."""
    async with serve(FakeCluster()) as served:
        served.add_deployment()
        served.add_pod(pod_object())
        yield served
