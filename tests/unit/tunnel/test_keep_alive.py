"""When a tunnel is pinged, and when it is given up."""

from kdev.tunnel.yamux.keep_alive import KeepAlive, Verdict


def test_silence_ends_after_the_misses() -> None:
    """So many pings without anything coming back, and the other end is dead."""
    keep_alive = KeepAlive(interval=15, misses=2)
    assert [keep_alive.tick(now) for now in (15, 30, 45)] == [Verdict.PING, Verdict.PING, Verdict.DEAD]


def test_anything_heard_is_a_sign_of_life() -> None:
    """Whoever sends data is alive, also when the answers to pings are stuck behind it."""
    keep_alive = KeepAlive(misses=1)
    for now in range(10):
        assert keep_alive.tick(now) is Verdict.PING
        keep_alive.heard()


def test_round_trip_is_that_of_the_last_ping() -> None:
    """The answer to an earlier ping says nothing about a later one."""
    keep_alive = KeepAlive()
    assert keep_alive.round_trip is None
    keep_alive.tick(10.0)
    first = keep_alive.value
    keep_alive.tick(25.0)
    keep_alive.answered(first, 25.1)
    assert keep_alive.round_trip is None
    keep_alive.answered(keep_alive.value, 25.5)
    assert keep_alive.round_trip == 0.5
