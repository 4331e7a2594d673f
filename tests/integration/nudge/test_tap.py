"""The tap in a namespace: what it leads to the agent, what it leaves alone, and that nothing of it stays."""

import asyncio
import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from ipaddress import IPv4Address, ip_address

import pytest

from kdev.agent.tap import Tap
from kdev.errors import AgentFailure
from kdev.mesh_adapters.interface import Hop
from tests.integration.netlink.namespaces import Namespace
from tests.integration.nudge.conftest import LISTENER_PORT, POD4, POD6, PORT, istio_hop

pytestmark = pytest.mark.root

HOLDER = f"""
import signal
from ipaddress import IPv4Address
from kdev.agent.tap import Tap
from kdev.mesh_adapters.interface import Hop
with Tap([Hop(local=True, source=IPv4Address("127.0.0.6"))], [{PORT}], {LISTENER_PORT}):
    print("up", flush=True)
    signal.pause()
"""


@contextlib.contextmanager
def pod_and_agent(host: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Listeners of the application and of the agent; neither accepts, so both can be asked who came."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with (
        socket.create_server((host, PORT), family=family) as app,
        socket.create_server(("::1" if ":" in host else "127.0.0.1", LISTENER_PORT), family=family) as agent,
    ):
        app.setblocking(False)
        agent.setblocking(False)
        yield app, agent


def arrives_at_agent(app: socket.socket, agent: socket.socket, source: str, port: int = PORT) -> bool:
    """Where a new connection to the pod ends."""
    host = app.getsockname()[0]
    with socket.socket(app.family) as client:
        client.settimeout(10)
        client.bind((source, 0))
        client.connect((host, port))
        for listener, answer in ((agent, True), (app, False)):
            with contextlib.suppress(BlockingIOError):
                listener.accept()[0].close()
                return answer
    raise AssertionError("nobody got the connection")


@pytest.mark.parametrize(("host", "sidecar"), [(POD4, "127.0.0.6"), (POD6, "::6")])
@pytest.mark.parametrize("owned", [True, False])
def test_the_sidecar_is_led_to_the_agent_and_nobody_else(pod: Namespace, host: str, sidecar: str, owned: bool) -> None:
    """While the tap is up the sidecar's connections arrive at the agent, the agent's own at the application."""

    def inside() -> list[bool]:
        with pod_and_agent(host) as (app, agent):
            led = [arrives_at_agent(app, agent, sidecar)]
            with Tap([istio_hop(host)], [PORT], LISTENER_PORT, owned=owned):
                led += [arrives_at_agent(app, agent, sidecar), arrives_at_agent(app, agent, host)]
            return [*led, arrives_at_agent(app, agent, sidecar)]

    assert pod.call(inside) == [False, True, False, False]
    assert pod.run("nft", "list", "ruleset") == ""


@pytest.mark.parametrize("owned", [True, False])
def test_a_dropped_tap_leads_nobody_and_keeps_its_table(pod: Namespace, owned: bool) -> None:
    """Connections that are at the agent need the table to live on, so it goes only with ``close``."""

    def inside() -> tuple[bool, str]:
        with (
            pod_and_agent(POD4) as (app, agent),
            Tap([istio_hop(POD4)], [PORT], LISTENER_PORT, owned=owned) as tap,
        ):
            tap.drop()
            return arrives_at_agent(app, agent, "127.0.0.6"), pod.run("nft", "list", "ruleset")

    led, ruleset = pod.call(inside)
    assert not led
    assert "table inet kdev" in ruleset
    assert pod.run("nft", "list", "ruleset") == ""


@pytest.mark.parametrize("owned", [True, False])
def test_the_ports_can_be_exchanged(pod: Namespace, owned: bool) -> None:
    """After ``set_ports`` other ports are tapped and the first ones are not."""

    def inside() -> tuple[bool, bool, str]:
        with (
            pod_and_agent(POD4) as (app, agent),
            Tap([istio_hop(POD4)], [PORT + 1], LISTENER_PORT, owned=owned) as tap,
        ):
            before = arrives_at_agent(app, agent, "127.0.0.6")
            tap.set_ports([PORT])
            after = arrives_at_agent(app, agent, "127.0.0.6")
            return before, after, pod.run("nft", "list", "set", "inet", "kdev", "ports")

    before, after, elements = pod.call(inside)
    assert (before, after) == (False, True)
    assert re.search(rf"elements = {{ {PORT}( expires \S+)? }}", elements)


@pytest.mark.parametrize(
    ("hop", "words"),
    [
        (Hop(local=True, destination=IPv4Address("127.0.0.1"), uid=1337), "ip daddr 127.0.0.1 meta skuid 1337"),
        (Hop(local=True, gid=1337, mark=(1337, 0xFFFFFFFF)), "meta mark 0x00000539 meta skgid 1337"),
        (Hop(local=True, mark=(0x539, 0xFFF)), "meta mark & 0x00000fff == 0x00000539"),
        (Hop(local=True, source=ip_address("::6")), "ip6 saddr ::6"),
    ],
)
def test_every_mesh_s_hop_is_one_rule(pod: Namespace, hop: Hop, words: str) -> None:
    """What the adapter knows of the hop is what the rule looks at, in hook output and for SYN only."""

    def inside() -> str:
        with Tap([hop], [PORT], LISTENER_PORT):
            return re.sub(r"\s+", " ", pod.run("nft", "list", "table", "inet", "kdev"))

    listed = pod.call(inside)
    assert "flags owner" in listed
    assert "type nat hook output priority -101" in listed
    assert f'oifname "lo" {words} tcp dport @ports tcp flags' in listed
    assert f"redirect to :{LISTENER_PORT}" in listed


def test_without_a_mesh_the_tap_stands_before_the_pod(pod: Namespace) -> None:
    """Connections from outside are redirected at prerouting, loopback is left alone."""

    def inside() -> str:
        with Tap([Hop(local=False, loopback_listener=False)], [PORT], LISTENER_PORT):
            return re.sub(r"\s+", " ", pod.run("nft", "list", "table", "inet", "kdev"))

    listed = pod.call(inside)
    assert re.search(r"type nat hook prerouting priority (dstnat - 1|-101)", listed)
    assert 'iifname != "lo" tcp dport @ports tcp flags' in listed


def test_a_killed_agent_leaves_nothing(pod: Namespace) -> None:
    """After SIGKILL the namespace's ruleset is empty."""
    with running(pod, HOLDER) as holder:
        assert pod.run("nft", "list", "ruleset") != ""
        holder.kill()
        holder.wait()
        assert pod.run("nft", "list", "ruleset") == ""


def test_without_owners_a_tap_that_nobody_refreshes_falls(pod: Namespace) -> None:
    """``keep`` holds the expiring tap up longer than it lives; without it the application is reached again."""

    async def inside() -> tuple[bool, bool]:
        with pod_and_agent(POD4) as (app, agent), Tap([istio_hop(POD4)], [PORT], LISTENER_PORT, owned=False) as tap:
            keeping = asyncio.create_task(tap.keep())
            await asyncio.sleep(2.5)
            kept = arrives_at_agent(app, agent, "127.0.0.6")
            keeping.cancel()
            async with asyncio.timeout(10):
                while arrives_at_agent(app, agent, "127.0.0.6"):  # noqa: ASYNC110 - the kernel's clock decides
                    await asyncio.sleep(0.1)
            return kept, arrives_at_agent(app, agent, "127.0.0.6")

    assert pod.call(lambda: asyncio.run(inside())) == (True, False)


def test_what_a_killed_agent_of_an_old_kernel_left_is_cleared(pod: Namespace) -> None:
    """A table of that name without owner is replaced."""
    with running(pod, HOLDER.replace("):\n", ", owned=False):\n")) as holder:
        holder.kill()
        holder.wait()
        assert "table inet kdev" in pod.run("nft", "list", "ruleset")

    def inside() -> str:
        with Tap([istio_hop(POD4)], [PORT], LISTENER_PORT):
            return pod.run("nft", "list", "ruleset")

    assert "flags owner" in pod.call(inside)


def test_a_pod_that_another_agent_taps_is_refused(pod: Namespace) -> None:
    """The second tap is refused with a reference of its own, and the first one stays."""
    with running(pod, HOLDER):
        with pytest.raises(AgentFailure) as refused:
            pod.call(lambda: Tap([istio_hop(POD4)], [PORT], LISTENER_PORT).__enter__())
        assert refused.value.explanation.reference == "tap-taken"
        assert "table inet kdev" in pod.run("nft", "list", "ruleset")


def test_without_net_admin_the_kernel_s_words_are_told(pod: Namespace) -> None:
    """A container without the capability learns which one it needs."""
    source = (
        "from ipaddress import IPv4Address\n"
        "from kdev.agent.tap import Tap\n"
        "from kdev.errors import AgentFailure\n"
        "from kdev.mesh_adapters.interface import Hop\n"
        "try: Tap([Hop(local=True, source=IPv4Address('127.0.0.6'))], [80], 15901).__enter__()\n"
        "except AgentFailure as failure: print(failure.explanation.reference, failure.explanation.seen)\n"
    )
    unprivileged = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534", "--clear-groups"]
    told = pod.run(*unprivileged, sys.executable, "-c", source)
    assert told.startswith("tap-refused ")
    assert "Operation not permitted" in told


def test_a_hop_that_would_catch_the_agent_is_refused(pod: Namespace) -> None:
    """Without any mark of the sidecar the agent's own connections would be led back to it for ever."""
    with pytest.raises(AgentFailure, match="tap-refused"):
        pod.call(lambda: Tap([Hop(local=True)], [PORT], LISTENER_PORT).__enter__())


@contextlib.contextmanager
def running(pod: Namespace, program: str) -> Iterator["subprocess.Popen[str]"]:
    """A Python program inside the pod that has said its first line."""
    command = [*pod.entering(), sys.executable, "-c", program]
    process = subprocess.Popen(command, pass_fds=[pod.descriptor], stdout=subprocess.PIPE, text=True)
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() != ""
            yield process
        finally:
            process.kill()
