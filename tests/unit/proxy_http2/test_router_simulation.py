import pytest

from tests.unit.proxy_http2.simulation import Simulation, Trouble


@pytest.mark.parametrize("seed", range(12))
def test_every_stream_is_answered_by_the_side_it_belongs_to(seed: int) -> None:
    """Streams of the pod and of the developer's process share a connection, and each gets its own answer, whole."""
    simulation = Simulation(seed)
    simulation.run()
    for name, outcome in simulation.client.done.items():
        stolen = simulation.client.asked[name].startswith("/b")
        assert outcome in {"developer" if stolen else "pod", "cancelled"}
