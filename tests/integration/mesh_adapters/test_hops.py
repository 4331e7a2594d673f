"""Each adapter's hop, against the mesh's own rules in a real kernel: the decrypted request is tapped, nothing else."""

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from kdev.tunnel.messages import Container, PodFacts
from tests.integration.mesh_adapters import rules
from tests.integration.mesh_adapters.pod import CLIENT_IP, POD_IP, Plan

pytestmark = pytest.mark.root

ADDRESSES = (
    "ip link set lo up; ip link add eth0 type veth peer name node; ip link set node up; ip link set eth0 up;"
    f"ip addr add {POD_IP}/24 dev eth0; ip route add default via 10.231.0.1 dev eth0;"
)
SIDECAR_PORTS = (15000, 15001, 15006)

DECRYPTED = {"uid": 1337, "gid": 1337, "source": "127.0.0.6"}
SELF_CALL = {"uid": 1337, "gid": 1337}
AGENT = {"uid": 0, "gid": 0}
NEIGHBOUR = {"uid": 1000, "gid": 1000}


def facts(**environment: str) -> PodFacts:
    """The pod as the API shows it."""
    container = Container(name="istio-proxy", image="proxyv2", user=1337, group=1337, environment=environment)
    return PodFacts(namespace="staging", name="checkout-1", ip=POD_IP, containers=(container,) if environment else ())


def outcome(plan: Plan) -> dict[str, Any]:
    """What happened in a pod of this plan."""
    command = ["unshare", "--net", sys.executable, "-m", "tests.integration.mesh_adapters.pod"]
    done = subprocess.run(
        [*command, msgspec.json.encode(plan).decode()], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("setup", "text"),
    [
        ("iptables-nft-restore", rules.REDIRECT),
        ("iptables-legacy-restore", rules.REDIRECT),
        ("nft -f -", rules.NATIVE_NFTABLES),
    ],
    ids=["iptables-nft", "iptables-legacy", "nftables"],
)
def test_redirect(setup: str, text: str) -> None:
    """The sidecar's hop is tapped; its own encrypted calls, the agent's and others' connections are not."""
    tries = {"decrypted": DECRYPTED, "self-call": SELF_CALL, "agent": AGENT, "neighbour": NEIGHBOUR}
    seen = outcome(Plan(facts(), ADDRESSES + setup, text, SIDECAR_PORTS, 1337, tries))
    untapped = {"self-call": "sidecar", "agent": "app", "neighbour": "app"}
    assert seen == {
        "mesh": "istio",
        "tapped": {"decrypted": "agent"} | untapped,
        "dropped": {"decrypted": "app"} | untapped,
    }


def test_redirect_in_a_dual_stack_pod() -> None:
    """The hop of the second address family is tapped, too, and the agent's own connection is not."""
    addresses = "ip -6 addr add fd00::2/64 dev eth0 nodad; ip -6 addr add ::6/128 dev lo nodad;"
    tries = {
        "decrypted": DECRYPTED,
        "decrypted-6": {"uid": 1337, "gid": 1337, "source": "::6", "destination": "fd00::2"},
        "agent-6": AGENT | {"destination": "fd00::2"},
    }
    setup = ADDRESSES + addresses + "ip6tables-nft-restore"
    text = rules.REDIRECT.replace("127.0.0.6/32", "::6/128").replace("127.0.0.1/32", "::1/128")
    seen = outcome(Plan(facts(), setup, text, SIDECAR_PORTS, 1337, tries))
    assert seen == {
        "mesh": "istio",
        "tapped": {"decrypted": "agent", "decrypted-6": "agent", "agent-6": "app"},
        "dropped": {"decrypted": "app", "decrypted-6": "app", "agent-6": "app"},
    }


def test_loopback() -> None:
    """Inbound policy LOCALHOST: the sidecar's connection to 127.0.0.1 is tapped, the agent's is not."""
    tries = {
        "decrypted": {"uid": 1337, "gid": 1337, "destination": "127.0.0.1"},
        "agent": AGENT | {"destination": "127.0.0.1"},
    }
    pod = facts(REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION="true")
    seen = outcome(Plan(pod, ADDRESSES + "iptables-nft-restore", rules.REDIRECT, SIDECAR_PORTS, 1337, tries))
    assert seen == {
        "mesh": "istio",
        "tapped": {"decrypted": "agent", "agent": "app"},
        "dropped": {"decrypted": "app", "agent": "app"},
    }


def test_tproxy() -> None:
    """The hop that bears the client's address is tapped by its mark, and the agent's answers find their way back."""
    tries = {
        "decrypted": {"uid": 0, "gid": 1337, "mark": 1337, "source": CLIENT_IP},
        "agent": AGENT,
        "neighbour": NEIGHBOUR,
    }
    setup = ADDRESSES + "iptables-nft-restore;" + rules.TPROXY_ROUTES
    seen = outcome(Plan(facts(), setup, rules.TPROXY, SIDECAR_PORTS, 0, tries))
    untapped = {"agent": "app", "neighbour": "app"}
    assert seen == {
        "mesh": "istio",
        "tapped": {"decrypted": "agent"} | untapped,
        # The application's listener has no mark of its own: Istio's rules restore the connection's.
        "dropped": {"decrypted": "app"} | untapped,
    }


def test_ambient() -> None:
    """The hop that ztunnel makes is tapped by its mark; connections inside the pod are not."""
    tries = {
        "decrypted": {"uid": 0, "gid": 0, "mark": 0x539, "source": CLIENT_IP},
        "agent": AGENT,
        "neighbour": NEIGHBOUR,
    }
    setup = ADDRESSES + "iptables-nft-restore;" + rules.AMBIENT_ROUTES
    seen = outcome(Plan(facts(), setup, rules.AMBIENT, (15001, 15006, 15008), 0, tries))
    untapped = {"agent": "app", "neighbour": "app"}
    assert seen == {
        "mesh": "istio-ambient",
        "tapped": {"decrypted": "agent"} | untapped,
        "dropped": {"decrypted": "app"} | untapped,
    }
