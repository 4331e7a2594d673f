"""Whole sessions against a cluster and an agent in the test's own loop."""

import asyncio
from pathlib import Path

import pytest

from kdev.errors import AgentFailure, Failure
from kdev.kube.ports import PortPair
from kdev.kube.targets import parse_target
from kdev.session import following, news
from kdev.session.developer_process import LocalProcess
from kdev.session.plan import Wish
from kdev.session.pod_link import DETACH_TIMEOUT
from kdev.session.runner import Session
from kdev.tunnel.messages import Counts, Detach, Mode, Refusal, Shadow
from tests.unit.kube.fake_cluster import FakeCluster, pod_object
from tests.unit.session.fake_agent import FakeAgent


def wish(local: int, *, target: str = "deploy/checkout", command: tuple[str, ...] = ()) -> Wish:
    """What a user may have asked for."""
    return Wish(
        target=parse_target(target),
        namespace="staging",
        mode=Mode.MIRROR,
        filters=("path=/api/*",),
        ports=(PortPair(8080, local),),
        sample=1.0,
        timeout=None,
        exclude_probes=True,
        image="kdev-agent:test",
        owner="alice@laptop",
        command=command,
    )


class Watched:
    """A running session, and its news."""

    def __init__(self, cluster: FakeCluster, tmp_path: Path, asked: Wish, process: LocalProcess | None = None) -> None:
        self.items: list[news.News] = []
        self._changed = asyncio.Event()
        self._api = cluster.api(tmp_path)

        async def launch() -> LocalProcess:
            assert process is not None
            return process

        self.session = Session(self._api, asked, self._tell, launch if process else None)

    async def run(self) -> Counts:
        """Run it to its end."""
        async with self._api, asyncio.timeout(15):
            return await self.session.run()

    def _tell(self, item: news.News) -> None:
        self.items.append(item)
        self._changed.set()

    async def until(self, kind: type[news.News], times: int = 1) -> None:
        """Wait for a piece of news."""
        async with asyncio.timeout(10):
            while sum(isinstance(item, kind) for item in self.items) < times:
                self._changed.clear()
                await self._changed.wait()


async def test_from_begin_to_end(cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path) -> None:
    """A session places an agent, tells it what to shadow, is ready, and hands the pod back when it is stopped."""
    watched = Watched(cluster, tmp_path, wish(local_port))
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(watched.run())
        await watched.until(news.Ready)
        await agent.until_listening(8080)
        watched.session.stop("enough")
    assert running.result() == Counts(matched=3, mirrored=2, dropped=1)
    shadow = agent.told[0]
    assert isinstance(shadow, Shadow)
    assert (shadow.filters, shadow.ports, shadow.pod.name) == (("path=/api/*",), (8080,), "checkout-1")
    assert isinstance(agent.told[-1], Detach)
    assert [event["reason"] for event in cluster.events] == ["ShadowBegan", "ShadowEnded"]
    ready = next(item for item in watched.items if isinstance(item, news.Ready))
    assert (ready.target, ready.pods, ready.direct) == ("deploy/checkout", ("checkout-1",), 2)


async def test_nothing_is_touched_before_the_rights_are_there(
    cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path
) -> None:
    """All missing rights are named at once, and no pod is patched."""
    cluster.denied = {("patch", "pods/ephemeralcontainers"), ("create", "pods/portforward")}
    failure = await _failure(Watched(cluster, tmp_path, wish(local_port)))
    assert failure.explanation.reference == "rights-missing"
    assert "patch pods/ephemeralcontainers, create pods/portforward" in failure.explanation.cause
    assert not cluster.patches


async def test_pod_security_refuses(cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path) -> None:
    """A dry run finds out that the namespace's Pod Security level refuses the agent, before anything is touched."""
    cluster.admission = 'pods "checkout-1" is forbidden: violates PodSecurity "baseline:latest": non-default ...'
    failure = await _failure(Watched(cluster, tmp_path, wish(local_port)))
    assert failure.explanation.reference == "pod-security"
    assert "baseline:latest" in failure.explanation.cause
    assert not cluster.patches


async def test_the_agent_refuses(cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path) -> None:
    """What an agent refuses reaches the user in the agent's words."""
    agent.answers = (Refusal(reference="pod-already-shadowed", cause="Bob shadows it", seen="", advice="ask Bob"),)
    failure = await _failure(Watched(cluster, tmp_path, wish(local_port)))
    assert isinstance(failure, AgentFailure)
    assert failure.explanation.cause == "Bob shadows it"


async def test_an_image_that_cannot_be_pulled(cluster: FakeCluster, local_port: int, tmp_path: Path) -> None:
    """A container that does not start ends the session with the cluster's own words."""
    cluster.agent_state = {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}}
    failure = await _failure(Watched(cluster, tmp_path, wish(local_port)))
    assert failure.explanation.reference == "agent-image"
    assert failure.explanation.seen == "ImagePullBackOff not found"
    assert "--agent-image" in failure.explanation.advice


async def test_garbage_on_the_agents_port(cluster: FakeCluster, local_port: int, tmp_path: Path) -> None:
    """Something else on the agent's port is told as such."""

    async def speak_http(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(speak_http, "127.0.0.1", 0)
    cluster.agent = server.sockets[0].getsockname()[1]
    async with server:
        failure = await _failure(Watched(cluster, tmp_path, wish(local_port)))
    assert failure.explanation.reference == "not-an-agent"


async def test_another_version_of_the_agent(cluster: FakeCluster, local_port: int, tmp_path: Path) -> None:
    """An agent of another version ends the session with both versions named."""

    async def speak_another_version(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"kdev-tunnel/99\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak_another_version, "127.0.0.1", 0)
    cluster.agent = server.sockets[0].getsockname()[1]
    async with server:
        failure = await _failure(Watched(cluster, tmp_path, wish(local_port)))
    assert failure.explanation.reference == "agent-version-mismatch"
    assert "99" in failure.explanation.seen


async def test_a_container_that_poses_as_the_agent(
    cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path
) -> None:
    """An agent whose key is not the one in its log is told nothing."""
    agent.poses = True
    failure = await _failure(Watched(cluster, tmp_path, wish(local_port)))
    assert failure.explanation.reference == "agent-authentication"
    assert not agent.told


async def test_logs_that_may_not_be_read(
    cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path
) -> None:
    """Without the right to read logs the session begins all the same, and one line says so."""
    cluster.denied = {("get", "pods/log")}
    agent.poses = True
    watched = Watched(cluster, tmp_path, wish(local_port))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.run())
        await watched.until(news.Ready)
        watched.session.stop("enough")
    (note,) = [item.text for item in watched.items if isinstance(item, news.Note)]
    assert "you may not get pods/log" in note
    assert not any("/log" in path for _, path in cluster.requests)


async def test_a_pod_that_joins(
    cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pod that the target gets by scaling up is shadowed, too; one that does not admit the agent is left alone."""
    monkeypatch.setattr(following, "LOOK_EVERY", 0.05)
    watched = Watched(cluster, tmp_path, wish(local_port))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.run())
        await watched.until(news.Ready)
        cluster.add_pod(pod_object("checkout-2"))
        await watched.until(news.Ready, times=2)
        cluster.admission = "the policy says no"
        cluster.add_pod(pod_object("checkout-3"))
        await watched.until(news.Ready, times=3)
        watched.session.stop("enough")
    ready = [item for item in watched.items if isinstance(item, news.Ready)]
    assert [(item.pods, item.again) for item in ready] == [
        (("checkout-1",), False),
        (("checkout-1", "checkout-2"), True),
        (("checkout-1", "checkout-2"), True),
    ]
    warnings = [item.text for item in watched.items if isinstance(item, news.Warned)]
    assert "Pod checkout-3 is not shadowed: The cluster does not allow you to add the agent's container" in str(
        warnings
    )
    assert len([message for message in agent.told if isinstance(message, Detach)]) == 2


async def test_an_api_server_that_dies(cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path) -> None:
    """When the API server dies with the tunnel that leads through it, the session waits, and goes on with the agent."""
    watched = Watched(cluster, tmp_path, wish(local_port))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.run())
        await watched.until(news.Ready)
        cluster.answer = (503, b'{"kind": "Status", "message": "etcdserver: leader changed"}')
        asked = cluster.asked
        agent.tunnels[-1].close()
        async with asyncio.timeout(10):
            await asked.acquire()
            await asked.acquire()
        cluster.answer = None
        await watched.until(news.Ready, times=2)
        watched.session.stop("enough")
    assert len(cluster.patches) == 1
    assert any(
        isinstance(item, news.Warned) and "The tunnel to checkout-1 broke" in item.text for item in watched.items
    )


async def test_credentials_that_expire(
    cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that expire are told once, and only new pods have to wait."""
    monkeypatch.setattr(following, "LOOK_EVERY", 0.05)
    watched = Watched(cluster, tmp_path, wish(local_port))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.run())
        await watched.until(news.Ready)
        cluster.token = "another"
        await watched.until(news.Warned, times=2)  # the first is the agent's
        cluster.token = ""
        cluster.add_pod(pod_object("checkout-2"))
        await watched.until(news.Ready, times=2)
        watched.session.stop("enough")
    waits = [item for item in watched.items if isinstance(item, news.Warned) and "New pods" in item.text]
    assert [item.text for item in waits] == [
        "New pods have to wait: The API server does not accept your credentials; they may have expired"
    ]


async def test_one_of_two_pods_refuses(cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path) -> None:
    """When agents refuse, every pod is handed back before the refusal is told, once."""
    cluster.add_pod(pod_object("checkout-2"))
    agent.refusing = {"checkout-2"}
    watched = Watched(cluster, tmp_path, wish(local_port))
    failure = await _failure(watched)
    assert failure.explanation.cause == "Bob shadows it"
    assert [message for message in agent.told if isinstance(message, Detach)] == [Detach(reason="Bob shadows it")]
    (summary,) = [item for item in watched.items if isinstance(item, news.Summary)]
    assert summary.reason == ""
    assert [event["reason"] for event in cluster.events].count("ShadowEnded") == 2


async def test_both_pods_refuse(cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path) -> None:
    """An agent that refuses while it is asked to hand back is not waited for."""
    cluster.add_pod(pod_object("checkout-2"))
    agent.refusing = {"checkout-1", "checkout-2"}
    async with asyncio.timeout(DETACH_TIMEOUT / 2):
        failure = await _failure(Watched(cluster, tmp_path, wish(local_port)))
    assert failure.explanation.cause == "Bob shadows it"


async def test_nobody_listens_locally(cluster: FakeCluster, agent: FakeAgent, tmp_path: Path) -> None:
    """A local port that nobody listens on is waited for, and is not an error."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()
    watched = Watched(cluster, tmp_path, wish(port))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.run())
        await watched.until(news.Waiting)
        async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port):
            await watched.until(news.Ready)
        await watched.until(news.Waiting, times=2)
        watched.session.stop("enough")
    assert not any(isinstance(item, news.RequestSeen) for item in watched.items)


async def test_a_lost_tunnel_is_made_again(
    cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path
) -> None:
    """When the tunnel breaks, the session goes back to the same agent and tells it everything again."""
    watched = Watched(cluster, tmp_path, wish(local_port))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.run())
        await watched.until(news.Ready)
        agent.told.clear()
        agent.tunnels[-1].close()
        await watched.until(news.Ready, times=2)
        await agent.until_listening(8080)
        watched.session.stop("enough")
    assert len(cluster.patches) == 1


async def test_a_killed_agent_is_replaced(
    cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path
) -> None:
    """When the agent's container has ended, another one is placed under a new name."""
    watched = Watched(cluster, tmp_path, wish(local_port))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.run())
        await watched.until(news.Ready)
        statuses = cluster.objects["/api/v1/namespaces/staging/pods/checkout-1"]["status"]
        statuses["ephemeralContainerStatuses"][0]["state"] = {"terminated": {"exitCode": 137}}
        cluster.patched.clear()
        forwarded, cluster.agent = cluster.agent, 1
        agent.tunnels[-1].close()
        async with asyncio.timeout(10):
            await cluster.patched.wait()
        cluster.agent = forwarded
        await watched.until(news.Ready, times=2)
        watched.session.stop("enough")
    names = [patch["spec"]["ephemeralContainers"][0]["name"] for patch in cluster.patches]
    assert len(set(names)) == 2


async def test_a_replaced_pod_is_followed(
    cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a pod of a workload is deleted, the session goes on in its successor."""
    monkeypatch.setattr(following, "LOOK_EVERY", 0.05)
    watched = Watched(cluster, tmp_path, wish(local_port))
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.run())
        await watched.until(news.Ready)
        del cluster.objects["/api/v1/namespaces/staging/pods/checkout-1"]
        cluster.add_pod(pod_object("checkout-2"))
        cluster.patched.clear()
        forwarded, cluster.agent = cluster.agent, 1
        agent.tunnels[-1].close()
        async with asyncio.timeout(10):
            await cluster.patched.wait()
        cluster.agent = forwarded
        await watched.until(news.Ready, times=2)
        watched.session.stop("enough")
    ready = [item for item in watched.items if isinstance(item, news.Ready)]
    assert ready[-1].pods == ("checkout-2",)


async def test_the_process_ends_the_session(
    cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path
) -> None:
    """The process is started when the tap is up; when it ends, the pod is handed back and its exit code is kept."""

    class Process:
        async def wait(self) -> int:
            assert any(isinstance(message, Shadow) for message in agent.told)
            return 7

        async def end(self) -> int:
            raise AssertionError("it has ended by itself")

    watched = Watched(cluster, tmp_path, wish(local_port, command=("serve",)), Process())
    await watched.run()
    assert watched.session.exit_code == 7
    assert isinstance(agent.told[-1], Detach)


async def test_a_failure_ends_the_process(
    cluster: FakeCluster, agent: FakeAgent, local_port: int, tmp_path: Path
) -> None:
    """When the session ends first, the process is ended with it."""
    ended = asyncio.Event()

    class Process:
        async def wait(self) -> int:
            return await asyncio.get_running_loop().create_future()

        async def end(self) -> int:
            ended.set()
            return 143

    watched = Watched(cluster, tmp_path, wish(local_port, command=("serve",)), Process())
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watched.run())
        await watched.until(news.Ready)
        watched.session.stop("enough")
    assert ended.is_set()
    assert watched.session.exit_code == 143


async def _failure(watched: Watched) -> Failure:
    with pytest.raises(Failure) as raised:
        await watched.run()
    return raised.value
