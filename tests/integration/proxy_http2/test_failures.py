import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.integration.proxy_http2.conftest import free_port, start_nginx
from tests.integration.proxy_http2.hop import HOST, Hop, make_session


def statuses(port: int, *options: str, path: str = "/b/small", requests: int = 200) -> dict[str, int]:
    """Send requests with h2load; returns how many answers had a status of which class."""
    command = ["h2load", f"-n{requests}", "-c4", "-m8", *options, f"http://{HOST}:{port}{path}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: int(count) for count, name in re.findall(r"(\d+) (\dxx|failed|errored)", output) if int(count)}


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Whatever a test starts ends with it."""
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("options", [(), ("-d/etc/hostname",)], ids=["GET", "POST"])
def test_what_a_process_refuses_is_answered_by_the_pod(stack: ExitStack, pod: int, options: tuple[str, ...]) -> None:
    """A process that does not listen costs no request: nothing was delivered, so even POSTs go to the pod."""
    hop = stack.enter_context(Hop(pod, make_session("steal", free_port())))
    assert statuses(hop.port, *options) == {"2xx": 200}
    assert hop.session is not None
    assert dict(hop.session.seen) == {"fell-back": 200}


def test_nobody_to_steal_leaves_all_to_the_pod(stack: ExitStack, pod: int) -> None:
    """Where the session knows of no process, requests do not even leave the client's connection."""
    hop = stack.enter_context(Hop(pod, make_session("steal", None)))
    assert statuses(hop.port) == {"2xx": 200}
    assert hop.session is not None
    assert dict(hop.session.details) == {"the local process cannot be reached": 200}


def test_a_process_that_says_goaway_keeps_what_it_gets(stack: ExitStack, pod: int, files: Path, tmp_path: Path) -> None:
    """A server that ends its connections now and then (nginx) is connected to again at once, and loses nothing."""
    process = start_nginx(stack, files, tmp_path, requests=23)
    hop = stack.enter_context(Hop(pod, make_session("steal", process)))
    assert statuses(hop.port, requests=800) == {"2xx": 800}
    assert hop.session is not None
    assert dict(hop.session.seen) == {"stolen": 800}


def test_a_silent_process_is_given_up_after_the_timeout(stack: ExitStack, pod: int) -> None:
    """Safe requests that get no answer in time are answered by the pod; others get 504."""
    silent = stack.enter_context(socket.create_server((HOST, 0)))
    session = make_session("steal", silent.getsockname()[1])
    assert session is not None
    session.timeout = 0.3
    hop = stack.enter_context(Hop(pod, session))
    assert statuses(hop.port, requests=16) == {"2xx": 16}
    assert statuses(hop.port, "-d/etc/hostname", requests=16) == {"5xx": 16, "failed": 16}
    assert session.seen == {"fell-back": 16, "failed": 16}
