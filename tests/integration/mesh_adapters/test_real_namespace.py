"""Detection from what a real kernel shows of a pod's network namespace."""

import subprocess
import sys

import pytest

from kdev.mesh_adapters.detection import detect
from kdev.mesh_adapters.interface import Evidence
from kdev.mesh_adapters.proc_net import parse_listeners
from kdev.tunnel.messages import PodFacts

pytestmark = pytest.mark.root

SIDECAR = """
import os, socket
from pathlib import Path
os.setgid(1337)
os.setuid(1337)
families = {"127.0.0.1": socket.AF_INET, "0.0.0.0": socket.AF_INET, "::": socket.AF_INET6}
kept = []
for address, port in (("127.0.0.1", 15000), ("0.0.0.0", 15001), ("0.0.0.0", 15006), ("::", 15020)):
    one = socket.socket(families[address], socket.SOCK_STREAM)
    one.bind((address, port))
    one.listen()
    kept.append(one)
print(Path("/proc/net/tcp").read_text(), Path("/proc/net/tcp6").read_text(), sep="\\0", end="")
"""


def test_a_sidecar_is_found_by_the_users_of_its_sockets() -> None:
    """A process of user 1337 that listens as Istio's sidecar does is recognised, with nothing from the manifests."""
    shown = subprocess.run(
        ["unshare", "--net", sys.executable, "-c", SIDECAR], check=True, capture_output=True, text=True
    )
    listeners = parse_listeners(*shown.stdout.split("\0"))
    assert {(listener.port, listener.uid) for listener in listeners} == {
        (15000, 1337),
        (15001, 1337),
        (15006, 1337),
        (15020, 1337),
    }
    pod = PodFacts(namespace="staging", name="checkout-1", ip="10.0.0.7")
    mesh = detect(Evidence(pod, listeners, frozenset()))
    assert (mesh.name, mesh.proxy_uid) == ("istio", 1337)
