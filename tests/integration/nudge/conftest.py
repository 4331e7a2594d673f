"""A pod's network namespace with an application under steady requests of its sidecar, and an agent that relays."""

import asyncio
import contextlib
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface, ip_address
from pathlib import Path

import pytest

from kdev.mesh_adapters.interface import Hop
from kdev.netlink.routes import Routes
from kdev.netlink.sock_diag import SockDiag, State
from tests.integration.netlink.namespaces import Namespace, new_namespace

POD4, POD6 = "10.1.2.3", "fd00:1::3"
PORT = 8080
LISTENER_PORT = 15901
SO_ORIGINAL_DST = 80


@pytest.fixture
def pod() -> Iterator[Namespace]:
    """A namespace with the pod's addresses, and Istio's ::6."""
    with new_namespace() as namespace:
        with Routes(namespace=namespace.descriptor) as routes:
            routes.set_up("lo")
            routes.add_bridge("eth0")
            routes.set_up("eth0")
            routes.add_address("eth0", IPv4Interface(f"{POD4}/24"))
            routes.add_address("eth0", IPv6Interface(f"{POD6}/64"))
            routes.add_address("lo", IPv6Interface("::6/128"))
        _await_local_routes(namespace, POD6, "::6")
        yield namespace


def _await_local_routes(namespace: Namespace, *addresses: str) -> None:
    """The kernel makes an IPv6 address reachable in a work queue, later than it has acknowledged the address."""
    deadline = time.monotonic() + 10
    while True:
        shown = namespace.run("ip", "-6", "route", "show", "table", "local")
        if all(f"local {address} " in shown for address in addresses):
            return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def istio_hop(host: str) -> Hop:
    """The hop of Istio's REDIRECT mode."""
    return Hop(local=True, source=ip_address("::6" if ":" in host else "127.0.0.6"))


@dataclass(frozen=True)
class Traffic:
    """The running process of ``traffic.py``."""

    process: "subprocess.Popen[str]"

    def seen(self) -> dict[str, int]:
        """What the clients have seen since the last call."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._line()

    def end(self) -> dict[str, int]:
        """Stop the clients; what they have seen since the last call."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        seen = self._line()
        self.process.wait(10)
        return seen

    def _line(self) -> dict[str, int]:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


def running_traffic(
    pod: Namespace, host: str, *, clients: int, headers: str, seconds: float = 0
) -> contextlib.AbstractContextManager[Traffic]:
    """HTTP/1 traffic that is flowing already."""
    return _running(pod, "traffic.py", host, PORT, clients, headers, seconds)


@contextlib.contextmanager
def running_nghttpd(pod: Namespace, host: str, documents: Path, *, large: int = 0) -> Iterator[None]:
    """An HTTP/2 application with the documents ``/small`` and ``/large``."""
    (documents / "small").write_bytes(b"ok\n")
    (documents / "large").write_bytes(bytes(large))
    server = subprocess.Popen(
        [*pod.entering(), "nghttpd", "--no-tls", "-a", host, "-d", str(documents), str(PORT)],
        pass_fds=[pod.descriptor],
        stderr=subprocess.DEVNULL,
    )
    with server:
        try:
            await_sockets(pod, State.LISTEN)
            yield
        finally:
            server.kill()


@contextlib.contextmanager
def running_traffic_h2(
    pod: Namespace, host: str, documents: Path, *, connections: int, large: int
) -> Iterator[Traffic]:
    """HTTP/2 traffic to nghttpd that is flowing already."""
    with (
        running_nghttpd(pod, host, documents, large=large),
        _running(pod, "traffic_h2.py", host, PORT, connections, large) as traffic,
    ):
        yield traffic


def await_sockets(pod: Namespace, state: State, *, count: int = 1) -> None:
    """Wait for the application's sockets; programs of other languages give no event, so the kernel is asked."""
    deadline = time.monotonic() + 10
    with SockDiag(namespace=pod.descriptor) as diagnostics:
        while len(diagnostics.tcp_sockets(frozenset({state}), local_port=PORT)) < count:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@contextlib.contextmanager
def _running(pod: Namespace, program: str, *arguments: str | float) -> Iterator[Traffic]:
    command = [*pod.entering(), sys.executable, str(Path(__file__).with_name(program)), *map(str, arguments)]
    process = subprocess.Popen(
        command, pass_fds=[pod.descriptor], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Traffic(process)
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def relaying(host: str) -> AsyncIterator[None]:
    """What the agent does with redirected connections, in its simplest form; runs in the pod's namespace."""
    version6 = ":" in host
    writers: set[asyncio.StreamWriter] = set()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        original = _original_destination(writer.get_extra_info("socket"), version6=version6)
        app_reader, app_writer = await asyncio.open_connection(*original)
        writers.update((writer, app_writer))
        with contextlib.suppress(ConnectionError):
            await asyncio.gather(_copy(reader, app_writer), _copy(app_reader, writer))

    server = await asyncio.start_server(relay, "::1" if version6 else "127.0.0.1", LISTENER_PORT)
    try:
        yield
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


def _original_destination(accepted: socket.socket, *, version6: bool) -> tuple[str, int]:
    if version6:
        port, address = struct.unpack("!2xH4x16s4x", accepted.getsockopt(socket.IPPROTO_IPV6, SO_ORIGINAL_DST, 28))
        return socket.inet_ntop(socket.AF_INET6, address), port
    port, address = struct.unpack("!2xH4s8x", accepted.getsockopt(socket.SOL_IP, SO_ORIGINAL_DST, 16))
    return socket.inet_ntoa(address), port
