"""The transition table, as transcripts of events and orders."""

from collections.abc import Sequence

import pytest

from kdev.session.diagram import lifecycle_diagram
from kdev.session.lifecycle import (
    TABLE,
    AgentEnded,
    Attached,
    Connected,
    Detached,
    Event,
    Followed,
    LocalClosed,
    LocalOpened,
    Lost,
    Permitted,
    Phase,
    Placed,
    PodGone,
    Resolved,
    State,
    Stopped,
    step,
)

START: tuple[Event, ...] = (
    Resolved(frozenset(("a", "b"))),
    Permitted(),
    Placed("a"),
    Placed("b"),
    Connected("b"),
    Connected("a"),
    Attached("a"),
    Attached("b"),
    LocalOpened(),
)


def play(*events: Event) -> tuple[State, list[str]]:
    """Feed events, and write down each as ``phase: orders``."""
    state, transcript = State(), []
    for event in events:
        state, orders = step(state, event)
        told = " ".join(f"{order.command.value}({order.pod})" if order.pod else order.command.value for order in orders)
        transcript.append(f"{state.phase.value}: {told}".rstrip())
    return state, transcript


def after_start(*events: Event) -> list[str]:
    """The transcript of what follows a start of two pods."""
    return play(*START, *events)[1][len(START) :]


def test_start_of_two_pods() -> None:
    """No pod goes further before all pods have come as far, so nothing is tapped before all agents are reached."""
    assert play(*START)[1] == [
        "preflight: check",
        "placing: place(a) place(b)",
        "placing:",
        "connecting: connect(a) connect(b)",
        "connecting:",
        "attaching: attach(a) attach(b)",
        "attaching:",
        "waiting-for-local: start-local",
        "ready: tell-ready",
    ]


def test_the_process_goes_and_comes_back() -> None:
    """A process that stops listening is waited for."""
    assert after_start(LocalClosed(), LocalOpened()) == ["waiting-for-local: tell-waiting", "ready: tell-ready"]


def test_one_lost_tunnel() -> None:
    """Only the pod whose tunnel broke is reconnected and attached again."""
    assert after_start(Lost("a"), Connected("a"), Attached("a")) == [
        "reconnecting: reconnect(a)",
        "reconnecting: attach(a)",
        "ready: tell-ready",
    ]


def test_two_lost_tunnels() -> None:
    """The session is ready again when the last of them is back."""
    events = (Lost("a"), Lost("b"), Connected("b"), Attached("b"), Connected("a"), Attached("a"))
    assert after_start(*events) == [
        "reconnecting: reconnect(a)",
        "reconnecting: reconnect(b)",
        "reconnecting: attach(b)",
        "reconnecting:",
        "reconnecting: attach(a)",
        "ready: tell-ready",
    ]


def test_an_ended_agent_is_replaced() -> None:
    """An agent that has ended is replaced by another one in the same pod."""
    assert after_start(Lost("a"), AgentEnded("a"), Placed("a"), Connected("a"), Attached("a")) == [
        "reconnecting: reconnect(a)",
        "reconnecting: place(a)",
        "reconnecting: connect(a)",
        "reconnecting: attach(a)",
        "ready: tell-ready",
    ]


def test_a_deleted_pod_is_followed() -> None:
    """A deleted pod's part is taken by its successor."""
    events = (Lost("a"), PodGone("a"), Followed("a", "c"), Placed("c"), Connected("c"), Attached("c"))
    state, transcript = play(*START, *events)
    assert transcript[len(START) :] == [
        "reconnecting: reconnect(a)",
        "reconnecting: follow(a)",
        "reconnecting: place(c)",
        "reconnecting: connect(c)",
        "reconnecting: attach(c)",
        "ready: tell-ready",
    ]
    assert state.pods == {"b", "c"}


def test_a_process_that_went_meanwhile() -> None:
    """After a reconnect the session waits for a process that has stopped listening meanwhile."""
    assert after_start(Lost("a"), LocalClosed(), Connected("a"), Attached("a"))[-1] == "waiting-for-local: start-local"


def test_a_tunnel_lost_while_attaching() -> None:
    """A tunnel that breaks during the start is made again, and the start goes on."""
    transcript = play(*START[:6], Lost("a"), Attached("b"), Connected("a"), Attached("a"))[1][6:]
    assert transcript == [
        "reconnecting: reconnect(a)",
        "reconnecting:",
        "reconnecting: attach(a)",
        "waiting-for-local: start-local",
    ]


@pytest.mark.parametrize("length", range(2, len(START) + 1))
def test_stop_hands_every_pod_back(length: int) -> None:
    """Stopped after anything was placed, all pods are handed back before the session ends."""
    transcript = play(*START[:length], Stopped("enough"), Detached("a"), Detached("b"))[1][length:]
    assert transcript == ["detaching: detach(a) detach(b)", "detaching:", "ended:"]


@pytest.mark.parametrize("length", range(2))
def test_stop_before_anything_was_placed(length: int) -> None:
    """Stopped before that, there is nothing to hand back."""
    assert play(*START[:length], Stopped("enough"))[1][-1] == "ended:"


def test_stop_twice_does_not_wait() -> None:
    """A second stop ends the session at once."""
    assert after_start(Stopped("enough"), Stopped("now"))[-1] == "ended:"


@pytest.mark.parametrize("event", [Lost("a"), Attached("a"), Placed("a"), LocalOpened(), Permitted()])
def test_late_events_change_nothing(event: Event) -> None:
    """What comes of orders that were under way when the session was stopped is too late to matter."""
    assert after_start(Stopped("enough"), event)[-1] == "detaching:"


def test_every_phase_can_be_reached_and_left() -> None:
    """The table leads into every phase but the first, and out of every phase but the last."""
    assert {row.target for row in TABLE} == set(Phase) - {Phase.RESOLVING}
    assert {row.source for row in TABLE} == set(Phase) - {Phase.ENDED}
    ended = {row.source for row in TABLE if row.event is Stopped}
    assert ended == set(Phase) - {Phase.ENDED}


def test_no_row_hides_another() -> None:
    """No two rows answer the same question."""
    questions: Sequence[tuple[object, ...]] = [(row.source, row.event, row.listening) for row in TABLE]
    assert len(questions) == len(set(questions))


def test_diagram() -> None:
    """The diagram has an arrow for every pair of phases of the table, and names what leads along it."""
    text = lifecycle_diagram()
    assert text.count("-->") == len({(row.source, row.target) for row in TABLE}) + 2
    assert "    preflight --> placing: Permitted / place\n" in text
    assert "    attaching --> waiting_for_local: Attached (last pod) / start-local\n" in text
