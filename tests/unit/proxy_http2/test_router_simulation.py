from collections import Counter

import pytest

from kdev.proxy.interface import Outcome
from tests.unit.proxy_http2.simulation import Simulation, Trouble


@pytest.mark.parametrize("seed", range(3))
def test_every_stream_is_answered_by_the_side_it_belongs_to(seed: int) -> None:
    """Streams of the pod and of the developer's process share a connection, and each gets its own answer, whole."""
    simulation = Simulation(seed, requests=6)
    simulation.run()
    for name, outcome in simulation.client.done.items():
        stolen = simulation.client.asked[name].startswith("/b")
        assert outcome in {"developer" if stolen else "pod", "cancelled"}


@pytest.mark.parametrize("seed", range(3))
def test_nothing_that_happens_to_the_process_reaches_the_pods_streams(seed: int) -> None:
    """While the process refuses, leaves and dies, the pod's streams are answered, and no request is acted on twice."""
    simulation = Simulation(seed * 2 + 1, trouble=Trouble(refuse=0.3, kill=0.01, leave=0.02), requests=6)
    simulation.run()
    for name, outcome in simulation.client.done.items():
        stolen = simulation.client.asked[name].startswith("/b")
        assert outcome in ({"developer", "pod", "502", "reset"} if stolen else {"pod"})
    begun = Counter(name for server in simulation.everybody for name in server.begun)
    assert not [name for name, times in begun.items() if times > 1 and not simulation.client.safe(name)]


@pytest.mark.parametrize("seed", range(2))
def test_each_matched_stream_is_reported_once(seed: int) -> None:
    """Reports name for each matching stream what its client has seen of it."""
    simulation = Simulation(seed * 2 + 1, trouble=Trouble(refuse=0.3, kill=0.01, leave=0.02), requests=6)
    simulation.run()
    seen = Counter(
        outcome for name, outcome in simulation.client.done.items() if simulation.client.asked[name].startswith("/b")
    )
    reported = Counter(report.outcome for report in simulation.session.reports)
    assert reported.total() == seen.total()
    assert reported[Outcome.FELL_BACK] >= seen["pod"]
    assert reported[Outcome.FAILED] <= seen["502"] + seen["reset"]
