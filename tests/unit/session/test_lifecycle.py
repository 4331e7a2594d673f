"""The transition table, as transcripts of events and orders."""

from collections.abc import Sequence

import pytest

from kdev.errors import AgentFailure
from kdev.session.diagram import lifecycle_diagram
from kdev.session.lifecycle import (
    TABLE,
    AgentEnded,
    Attached,
    Connected,
    Event,
    Failed,
    HandedBack,
    Interrupted,
    LocalClosed,
    LocalOpened,
    Lost,
    Permitted,
    Phase,
    Placed,
    PodJoined,
    PodLeft,
    ProcessEnded,
    Resolved,
    State,
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


def test_a_pod_that_joins() -> None:
    """A pod that the target got meanwhile is attached while the others serve."""
    state, transcript = play(*START, PodJoined("c"), Placed("c"), Connected("c"), Attached("c"))
    assert transcript[len(START) :] == [
        "reconnecting: place(c)",
        "reconnecting: connect(c)",
        "reconnecting: attach(c)",
        "ready: tell-ready",
    ]
    assert state.pods == {"a", "b", "c"}


def test_a_pod_that_leaves() -> None:
    """A deleted pod is not waited for; the session goes on in the others."""
    state, transcript = play(*START, Lost("a"), PodLeft("a"))
    assert transcript[len(START) :] == ["reconnecting: reconnect(a)", "ready: tell-ready"]
    assert state.pods == {"b"}


def test_the_last_pod_leaves() -> None:
    """Without any pod the session is not ready before another one has joined and is attached."""
    events = (Lost("a"), Lost("b"), PodLeft("a"), PodLeft("b"), PodJoined("c"), Placed("c"), Connected("c"))
    assert after_start(*events, Attached("c")) == [
        "reconnecting: reconnect(a)",
        "reconnecting: reconnect(b)",
        "reconnecting:",
        "reconnecting:",
        "reconnecting: place(c)",
        "reconnecting: connect(c)",
        "reconnecting: attach(c)",
        "ready: tell-ready",
    ]


def test_a_pod_that_joins_and_another_that_is_lost() -> None:
    """The session is ready again when both are attached."""
    events = (PodJoined("c"), Lost("a"), Placed("c"), Connected("c"), Attached("c"), Connected("a"), Attached("a"))
    assert [line.partition(":")[0] for line in after_start(*events)] == ["reconnecting"] * 6 + ["ready"]


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


ENDINGS: tuple[Event, ...] = (
    Interrupted("enough"),
    ProcessEnded("it ended"),
    Failed("it broke", AgentFailure("broken", "it broke", advice="mend it")),
)


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: type(ending).__name__)
@pytest.mark.parametrize("length", range(2, len(START) + 1))
def test_every_ending_hands_back(length: int, ending: Event) -> None:
    """Ended after anything was placed, everything is handed back before the session is over."""
    assert play(*START[:length], ending, HandedBack())[1][length:] == ["detaching: hand-back", "ended:"]


@pytest.mark.parametrize("length", range(2))
def test_an_end_before_anything_was_placed(length: int) -> None:
    """Ended before that, there is nothing to hand back."""
    assert play(*START[:length], Interrupted("enough"))[1][-1] == "ended:"


def test_an_end_without_pods() -> None:
    """A session that waits for a successor can be ended."""
    events = (Lost("a"), Lost("b"), PodLeft("a"), PodLeft("b"), Interrupted("enough"), HandedBack())
    assert after_start(*events)[-2:] == ["detaching: hand-back", "ended:"]


def test_interrupted_twice() -> None:
    """Who interrupts a second time does not want to wait."""
    assert after_start(Interrupted("enough"), Interrupted("now"))[-1] == "ended:"


@pytest.mark.parametrize("second", ENDINGS[1:], ids=lambda ending: type(ending).__name__)
def test_a_second_end_waits(second: Event) -> None:
    """A process that ends meanwhile, and a second agent's refusal, do not cut the handing back short."""
    assert after_start(ENDINGS[2], second)[-1] == "detaching:"


@pytest.mark.parametrize("event", [Lost("a"), Attached("a"), Placed("a"), LocalOpened(), Permitted(), PodJoined("c")])
def test_late_events_change_nothing(event: Event) -> None:
    """What comes of orders that were under way when the session was ended is too late to matter."""
    assert after_start(Interrupted("enough"), event)[-1] == "detaching:"


def test_every_phase_can_be_reached_and_left() -> None:
    """The table leads into every phase but the first, and out of every phase but the last."""
    assert {row.target for row in TABLE} == set(Phase) - {Phase.RESOLVING}
    assert {row.source for row in TABLE} == set(Phase) - {Phase.ENDED}
    for ending in (Interrupted, ProcessEnded, Failed):
        ended = {row.source for row in TABLE if row.event is ending}
        assert ended >= set(Phase) - {Phase.ENDED, Phase.DETACHING}


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
