import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.proxy_http2.hop import HOST, Hop, make_session

NGINX = """
daemon off; master_process off;
error_log stderr;
pid {root}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {root}/body;
    keepalive_requests {requests};
    server {{ listen {host}:{port} http2; root {files}; error_page 405 =200 $uri; }}
}}
"""

CHUNK = 1000
BIG = 4_000_000

Start = Callable[..., int]
"""Starts a server with a port of its own, which it returns."""


@pytest.fixture(scope="session")
def programs() -> Iterator[ExitStack]:
    """Whatever is started here is ended when the tests are."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A document root: /pod/... and /b/... are both there, each server says by a header or its content who it is."""
    root = tmp_path_factory.mktemp("files")
    for folder in ("a", "b"):
        (root / folder).mkdir()
        (root / folder / "small").write_bytes(b"x" * CHUNK)
        (root / folder / "big").write_bytes(os.urandom(BIG))
    return root


def free_port() -> int:
    """Find a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]  # type: ignore[no-any-return]


def await_listening(port: int) -> None:
    """Return when somebody accepts connections on ``port``."""
    for _ in range(500):
        try:
            socket.create_connection((HOST, port)).close()
        except ConnectionRefusedError:
            time.sleep(0.02)
        else:
            return
    raise TimeoutError(port)


def run(stack: ExitStack, *command: str, stdout: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
    """Start a program that ends with ``stack``."""
    process = stack.enter_context(subprocess.Popen(command, stdout=stdout, stderr=subprocess.DEVNULL))
    stack.callback(process.kill)
    return process


def start_nghttpd(stack: ExitStack, files: Path, *options: str) -> int:
    """Start nghttp2's server."""
    port = free_port()
    run(stack, "nghttpd", "--no-tls", "-d", str(files), *options, str(port))
    await_listening(port)
    return port


def start_nginx(stack: ExitStack, files: Path, root: Path, *, requests: int = 1_000_000) -> int:
    """Start nginx; it says GOAWAY after ``requests`` on a connection."""
    port = free_port()
    config = root / "nginx.conf"
    config.write_text(NGINX.format(root=root, requests=requests, host=HOST, port=port, files=files))
    # The worker runs as nobody, and has to read what pytest made for its user alone.
    for folder in (files, *files.parents[:2]):
        folder.chmod(0o755)
    process = run(stack, "nginx", "-p", str(root), "-c", str(config))
    stack.callback(process.terminate)
    await_listening(port)
    return port


@pytest.fixture(scope="session")
def pod(programs: ExitStack, files: Path) -> int:
    """The pod's server: nghttpd, whose answers say so by a trailer."""
    return start_nghttpd(programs, files, "--trailer", "x-end: pod")


@pytest.fixture(scope="session")
def process(programs: ExitStack, files: Path) -> int:
    """The developer's process: nghttpd with other settings than the pod's."""
    options = ["--trailer", "x-end: process", "--header-table-size", "1000", "--window-bits", "14", "-b", "9"]
    return start_nghttpd(programs, files, *options)


@pytest.fixture(params=["pass", "mirror", "steal"])
def hop(request: pytest.FixtureRequest, pod: int, process: int) -> Iterator[Hop]:
    """A hop in each mode; paths that begin with /b match."""
    with Hop(pod, make_session(request.param, process)) as hop:
        yield hop
