from collections import Counter

import pytest

from tests.unit.proxy_http2.simulation import Simulation, Trouble

TROUBLE = Trouble(refuse=0.3, kill=0.002, leave=0.005)


@pytest.mark.parametrize("trouble", [Trouble(), TROUBLE], ids=["quiet", "troubled"])
@pytest.mark.parametrize("seed", range(100, 112))
def test_long_random_sessions_end_with_every_stream_answered(seed: int, trouble: Trouble) -> None:
    """With 40 streams each, cancelled ones among them, the pod's are never hurt and none is acted on twice."""
    simulation = Simulation(seed, trouble=trouble, requests=40)
    simulation.run()
    for name, outcome in simulation.client.done.items():
        mishaps = {"pod", "502", "reset"} if trouble is TROUBLE else set()
        stolen = simulation.client.asked[name].startswith("/b")
        assert outcome in ({"developer", "cancelled"} | mishaps if stolen else {"pod", "cancelled"})
    begun = Counter(name for server in simulation.everybody for name in server.begun)
    assert not [name for name, times in begun.items() if times > 1 and not simulation.client.safe(name)]
