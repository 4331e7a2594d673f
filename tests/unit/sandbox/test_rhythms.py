"""Probes and restarts: what so many answers in a row, or so many ends, lead to."""

from itertools import pairwise

import pytest

from kdev.sandbox.interface import Object
from kdev.sandbox.probes import Exec, Grpc, HttpGet, Probe, TcpSocket, Verdict
from kdev.sandbox.restarts import FORGET_AFTER, LONGEST_DELAY, BackOff, restarts

CONTAINER: Object = {"name": "app", "ports": [{"name": "web", "containerPort": 8080}]}


def _probe(**fields: object) -> Probe:
    return Probe.parse({"exec": {"command": ["true"]}, **fields}, CONTAINER)


def test_defaults_of_a_probe_are_kubernetes() -> None:
    """A probe that says nothing asks every 10 s, waits 1 s, and believes 3 failures or 1 success."""
    probe = _probe()
    assert (probe.initial_delay, probe.period, probe.timeout) == (0, 10, 1)
    assert (probe.success_threshold, probe.failure_threshold) == (1, 3)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"httpGet": {"port": "web"}}, HttpGet("HTTP", "", 8080, "/", ())),
        (
            {"httpGet": {"port": 1, "path": "/r", "httpHeaders": [{"name": "A", "value": "b"}]}},
            HttpGet("HTTP", "", 1, "/r", (("A", "b"),)),
        ),
        ({"tcpSocket": {"port": "web"}}, TcpSocket("", 8080)),
        ({"grpc": {"port": 9, "service": None}}, Grpc(9, "")),
        ({"exec": {"command": ["a", "b"]}}, Exec(("a", "b"))),
    ],
)
def test_checks_are_read_with_named_ports(spec: Object, expected: object) -> None:
    """Each kind of check is understood, ports by number or by the container's name for them."""
    assert Probe.parse(spec, CONTAINER).check == expected


@pytest.mark.parametrize("spec", [{}, {"httpGet": {"port": "nope"}}])
def test_a_probe_that_asks_nothing_is_refused(spec: Object) -> None:
    """No check, or a port nobody declared, is an error."""
    with pytest.raises(ValueError, match=r"names no check|no port named"):
        Probe.parse(spec, CONTAINER)


def test_failures_must_come_in_a_row() -> None:
    """A success in between begins the count of failures anew."""
    verdict = Verdict(_probe(failureThreshold=3))
    answers = [False, False, True, False, False, False, False]
    assert [verdict.observe(success=answer) for answer in answers] == [False, False, True, False, False, True, True]


def test_readiness_may_want_several_successes() -> None:
    """Successes are counted the same way."""
    verdict = Verdict(_probe(successThreshold=2))
    assert [verdict.observe(success=True) for _ in range(3)] == [False, True, True]


@pytest.mark.parametrize(
    ("policy", "code", "expected"),
    [
        ("Always", 0, True),
        ("Always", 1, True),
        ("OnFailure", 0, False),
        ("OnFailure", 1, True),
        ("Never", 0, False),
        ("Never", 1, False),
    ],
)
def test_restart_policies(policy: str, code: int, *, expected: bool) -> None:
    """Always, OnFailure and Never mean what Kubernetes says."""
    assert restarts(policy, code) is expected


def test_back_off_doubles_to_its_bound_and_forgets() -> None:
    """The first restart is immediate; then 10 s, doubling to five minutes; a long run starts anew."""
    delays = [BackOff()]
    for _ in range(8):
        delays.append(delays[-1].after(1))
    assert [each.delay for each in delays[:4]] == [0, 10, 20, 40]
    assert all(before.delay <= after.delay for before, after in pairwise(delays))
    assert delays[-1].delay == LONGEST_DELAY
    assert delays[-1].after(FORGET_AFTER) == BackOff()
