import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")  # other tests start programs while channels are open

import grpc
import pytest

from tests.integration.proxy_http2.grpc_service import UNLIMITED, Service
from tests.integration.proxy_http2.hop import HOST, Hop, make_session

BIG = 4 << 20
PATIENCE = 30.0
"""Seconds after which a call has failed; none takes one."""


@pytest.fixture
def services() -> Iterator[tuple[Service, Service]]:
    """The pod's and the process's."""
    both = Service("pod"), Service("process")
    yield both
    for service in both:
        service.stop()


@pytest.fixture(params=["pass", "mirror", "steal"])
def hop(request: pytest.FixtureRequest, services: tuple[Service, Service]) -> Iterator[Hop]:
    """A hop in each mode; service ``b`` matches."""
    pod, process = services
    with Hop(pod.port, make_session(request.param, process.port)) as hop:
        yield hop


@pytest.fixture
def channel(hop: Hop) -> Iterator[grpc.Channel]:
    """A client's connection through the hop."""
    with grpc.insecure_channel(f"{HOST}:{hop.port}", options=UNLIMITED) as channel:
        yield channel


def answering(hop: Hop, service: str) -> str:
    """Who has to answer a service's calls."""
    return "process" if service == "b" and hop.session is not None and hop.session.mode == "steal" else "pod"


def check_every_shape(channel: grpc.Channel, service: str, name: str) -> None:
    """Make a call of each shape, small and large, and check who answered what."""
    unary = channel.unary_unary(f"/{service}/unary")
    answer, call = unary.with_call(b"x", timeout=PATIENCE, metadata=(("x-long", "v" * 3000), ("k-bin", b"\0\xff")))
    assert answer == b"x"
    assert dict(call.initial_metadata())["x-from"] == name
    assert dict(call.trailing_metadata())["x-end"] == name
    assert unary(bytes(BIG), timeout=PATIENCE) == bytes(BIG)
    with pytest.raises(grpc.RpcError) as failure:
        unary(b"fail", timeout=PATIENCE)
    assert failure.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert failure.value.details() == f"refused by {name}"
    down = channel.unary_stream(f"/{service}/down")
    assert sum(map(len, down(b"50 1000", timeout=PATIENCE))) == 50_000
    assert sum(map(len, down(b"2 %d" % BIG, timeout=PATIENCE))) == 2 * BIG
    up = channel.stream_unary(f"/{service}/up")
    assert up((bytes(BIG) for _ in range(2)), timeout=PATIENCE) == str(2 * BIG).encode()
    both = channel.stream_stream(f"/{service}/both")
    messages = [str(number).encode() for number in range(100)]
    assert list(both(iter(messages), timeout=PATIENCE)) == messages


@pytest.mark.parametrize("service", ["a", "b"])
def test_calls_of_every_shape_are_answered(hop: Hop, channel: grpc.Channel, service: str) -> None:
    """Unary and streaming calls, metadata, trailers and errors are those of the side that has to answer."""
    check_every_shape(channel, service, answering(hop, service))


def test_concurrent_calls_do_not_meet(hop: Hop, channel: grpc.Channel) -> None:
    """Calls to both services at once on one connection are answered each by its side."""
    with ThreadPoolExecutor(8) as pool:
        calls = [
            pool.submit(check_every_shape, channel, service, answering(hop, service)) for service in ["a", "b"] * 4
        ]
    for call in calls:
        call.result()


@pytest.mark.parametrize("service", ["a", "b"])
def test_a_cancelled_call_ends_where_it_runs(
    hop: Hop, services: tuple[Service, Service], channel: grpc.Channel, service: str
) -> None:
    """The caller's cancellation reaches the server that answers, and the one that has a copy."""
    call = channel.unary_stream(f"/{service}/forever")(b"x", timeout=PATIENCE)
    next(call)
    call.cancel()
    pod, process = services
    name = answering(hop, service)
    assert (pod if name == "pod" else process).cancelled.acquire(timeout=PATIENCE)
    if service == "b" and hop.session is not None and hop.session.mode == "mirror":
        assert process.cancelled.acquire(timeout=PATIENCE)


@pytest.mark.parametrize("service", ["a", "b"])
def test_a_deadline_ends_a_call_where_it_runs(
    hop: Hop, services: tuple[Service, Service], channel: grpc.Channel, service: str
) -> None:
    """A call whose deadline passes ends for the caller and for the server."""
    with pytest.raises(grpc.RpcError) as failure:
        list(channel.unary_stream(f"/{service}/forever")(b"x", timeout=0.2))
    assert failure.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    pod, process = services
    assert (pod if answering(hop, service) == "pod" else process).cancelled.acquire(timeout=PATIENCE)


@pytest.mark.parametrize("hop", ["steal"], indirect=True)
def test_a_dead_process_is_unavailable_in_grpc_terms(
    hop: Hop, services: tuple[Service, Service], channel: grpc.Channel
) -> None:
    """A stolen call whose process dies fails as UNAVAILABLE, and the pod's service goes on."""
    call = channel.unary_stream("/b/forever")(b"x", timeout=PATIENCE)
    assert next(call) == b"x"
    services[1].stop()
    with pytest.raises(grpc.RpcError):
        next(call)
    check_every_shape(channel, "a", "pod")
    assert channel.unary_unary("/b/unary")(b"x", timeout=PATIENCE) == b"x"


def test_drained_connections_are_left_without_a_failed_call(hop: Hop, channel: grpc.Channel) -> None:
    """After a drain, calls in flight go on and new ones take another connection."""
    both = channel.stream_stream("/b/both")
    unary = channel.unary_unary("/a/unary")
    sent: list[bytes] = [b"first"]

    def messages() -> Iterator[bytes]:
        yield b"first"
        hop.call(hop.drain)
        for number in range(20):
            assert unary(b"%d" % number, timeout=PATIENCE) == b"%d" % number
            sent.append(b"%d" % number)
            yield sent[-1]

    assert list(both(messages(), timeout=PATIENCE)) == sent
