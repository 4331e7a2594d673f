"""Both ends of one connection to an application, in the test's own hands, and an agent that may be killed."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.integration.netlink.namespaces import Namespace
from tests.integration.nudge.conftest import PORT

NUDGING = f"""
import asyncio, signal, sys
from ipaddress import ip_address
from kdev.agent.nudge import Nudge
from kdev.mesh_adapters.interface import Hop
def count(direct): print(direct, flush=True)
async def main():
    hop = Hop(local=True, source=ip_address(sys.argv[1])) if sys.argv[1:] else Hop(local=False)
    nudge = Nudge([hop], [{PORT}], count)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, nudge.stop)
    await nudge.run()
    sys.exit(nudge.hindrance)
asyncio.run(main())
"""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"
DATED_HEAD = HEAD.replace(b"\r\ncontent", b"\r\ndate: Sat, 21 Nov 2026 01:05:14 GMT\r\ncontent")


@contextmanager
def connection(
    pod: Namespace, host: str, *, caller: Namespace | None = None
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The client's and the application's end of a connection; the client is the sidecar or a distant caller."""
    family, source = (socket.AF_INET6, "::6") if ":" in host else (socket.AF_INET, "127.0.0.6")
    bound = (source if caller is None else "", 0)
    with pod.call(lambda: socket.create_server((host, PORT), family=family)) as listener:
        client = (caller or pod).call(lambda: socket.create_connection((host, PORT), timeout=10, source_address=bound))
        with client, listener.accept()[0] as app:
            app.settimeout(10)
            yield client, app


@contextmanager
def nudging(
    pod: Namespace, host: str, *, meshed: bool = True, hindered: bool = False
) -> Iterator["subprocess.Popen[str]"]:
    """A process that has found one direct connection and watches it; it fails in the end if it was hindered."""
    source = "::6" if ":" in host else "127.0.0.6"
    command = [*pod.entering(), sys.executable, "-c", NUDGING, *([source] if meshed else [])]
    with subprocess.Popen(command, pass_fds=[pod.descriptor], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "1\n"
            while not hindered and "elements = {" not in pod.run("nft", "list", "ruleset"):
                assert process.poll() is None
            yield process
        finally:
            process.kill()


def exchange(client: socket.socket, app: socket.socket, head: bytes) -> bytes:
    """Send a request and the beginning of its response; what of it the client gets."""
    client.sendall(b"GET / HTTP/1.1\r\nhost: app\r\n\r\n")
    app.recv(1000)
    app.sendall(head + b"first")
    received = b""
    while not received.endswith(b"first"):
        received += client.recv(1000)
    return received
