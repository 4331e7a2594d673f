"""The reference implementation of yamux, built from the Go module proxy, as the other end of a tunnel."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvloop

from kdev.tunnel.transport import Acceptor, Tunnel
from kdev.tunnel.yamux.connection import Role

SOURCE = Path(__file__).parent / "yamux_peer"


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop of both sides of the product."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def peer_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built with exactly the modules that ``go.sum`` names."""
    program = tmp_path_factory.mktemp("yamux") / "peer"
    environment = os.environ | {"GOFLAGS": "-mod=readonly", "CGO_ENABLED": "0"}
    subprocess.run(["go", "build", "-o", program, "."], cwd=SOURCE, env=environment, check=True)
    return program


@dataclass
class Peer:
    """The program at work."""

    process: asyncio.subprocess.Process

    async def obey(self, command: str) -> str:
        """Have it do something, and return its answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(command.encode() + b"\n")
        async with asyncio.timeout(60):
            return (await self.process.stdout.readline()).decode().strip()


@asynccontextmanager
async def reference(program: Path, role: Role, acceptor: Acceptor) -> AsyncIterator[tuple[Tunnel, Peer]]:
    """A tunnel in ``role`` whose other end is the reference implementation."""
    tunnel = Tunnel(role, acceptor)
    server = await asyncio.get_running_loop().create_server(lambda: tunnel, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        other = "server" if role is Role.CLIENT else "client"
        process = await asyncio.create_subprocess_exec(
            program,
            other,
            f"127.0.0.1:{port}",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            peer = Peer(process)
            assert await peer.obey("ping") == "ok"
            yield tunnel, peer
        finally:
            tunnel.close()
            assert process.stdin is not None
            process.stdin.close()
            await process.wait()
