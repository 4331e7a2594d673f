"""One run of ``kdev shadow`` as a transition table.

Two rules: everything that decides what a session does next is in ``TABLE``, and ``step`` does no I/O. The runner
performs the orders that ``step`` returns and posts what came of them as events. An event without a row in the present
phase comes too late to matter and changes nothing: a pod that attaches while the session already detaches, say.

Pods go through a start together: nothing is tapped in any of them before all agents can be reached. ``until_last``
marks the rows that are taken only when every pod has said so.
"""

from dataclasses import dataclass, replace
from enum import Enum

from kdev.errors import Failure


class Phase(Enum):
    """Where a session stands; the values are what the diagram shows."""

    RESOLVING = "resolving"
    PREFLIGHT = "preflight"
    PLACING = "placing"
    CONNECTING = "connecting"
    ATTACHING = "attaching"
    WAITING_FOR_LOCAL = "waiting-for-local"
    READY = "ready"
    RECONNECTING = "reconnecting"
    DETACHING = "detaching"
    ENDED = "ended"


# ---- events


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened."""


@dataclass(frozen=True, slots=True)
class PodEvent(Event):
    """Something that happened to one pod."""

    pod: str


@dataclass(frozen=True, slots=True)
class Resolved(Event):
    """The target was found."""

    pods: frozenset[str]


class Permitted(Event):
    """Rights and admission allow what is planned."""


class Placed(PodEvent):
    """The agent's container is in the pod's spec."""


class Connected(PodEvent):
    """The tunnel to the pod's agent is up."""


class Attached(PodEvent):
    """The tap is up and tested."""


class Lost(PodEvent):
    """The tunnel broke."""


class AgentEnded(PodEvent):
    """The agent's container has ended."""


class PodJoined(PodEvent):
    """The target has another ready pod."""


class PodLeft(PodEvent):
    """The pod was deleted, or could not be joined."""


class LocalOpened(Event):
    """A local port accepts connections."""


class LocalClosed(Event):
    """No local port accepts connections any more."""


@dataclass(frozen=True, slots=True)
class Ending(Event):
    """Something that ends the session; the first one tells why it ended."""

    reason: str


class Interrupted(Ending):
    """The user wants it to end; said twice, at once."""


class ProcessEnded(Ending):
    """The developer's process has ended."""


@dataclass(frozen=True, slots=True)
class Failed(Ending):
    """An order failed."""

    failure: Failure


class HandedBack(Event):
    """Every agent has handed everything back, or cannot be waited for."""


# ---- orders


class Command(Enum):
    """What the runner is to do; what comes of it, it posts as an event."""

    RESOLVE = "resolve"
    CHECK = "check"
    PLACE = "place"
    CONNECT = "connect"
    ATTACH = "attach"
    START_LOCAL = "start-local"
    TELL_READY = "tell-ready"
    TELL_WAITING = "tell-waiting"
    RECONNECT = "reconnect"
    HAND_BACK = "hand-back"


PER_POD = frozenset((Command.PLACE, Command.CONNECT, Command.ATTACH, Command.RECONNECT))


@dataclass(frozen=True, slots=True)
class Order:
    """One command; ``pod`` is empty for those that concern the whole session."""

    command: Command
    pod: str = ""


# ---- the table


@dataclass(frozen=True, slots=True)
class State:
    """A session's state.

    Attributes:
        pods: Those that it shadows.
        waiting: Those of them that have not yet said what this phase waits for.
        listening: Whether a local port accepts connections.
    """

    phase: Phase = Phase.RESOLVING
    pods: frozenset[str] = frozenset()
    waiting: frozenset[str] = frozenset()
    listening: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One transition.

    Attributes:
        until_last: Taken when the event has come from every pod that was waited for, and there is a pod at all;
            before that the phase stays.
        listening: Taken only when a local port accepts connections, or only when none does.
    """

    source: Phase
    event: type[Event]
    target: Phase
    commands: tuple[Command, ...] = ()
    until_last: bool = False
    listening: bool | None = None


_ENDINGS = (Interrupted, ProcessEnded, Failed)

TABLE: tuple[Row, ...] = (
    Row(Phase.RESOLVING, Resolved, Phase.PREFLIGHT, (Command.CHECK,)),
    Row(Phase.PREFLIGHT, Permitted, Phase.PLACING, (Command.PLACE,)),
    Row(Phase.PLACING, Placed, Phase.CONNECTING, (Command.CONNECT,), until_last=True),
    Row(Phase.CONNECTING, Connected, Phase.ATTACHING, (Command.ATTACH,), until_last=True),
    Row(Phase.ATTACHING, Attached, Phase.WAITING_FOR_LOCAL, (Command.START_LOCAL,), until_last=True),
    Row(Phase.WAITING_FOR_LOCAL, LocalOpened, Phase.READY, (Command.TELL_READY,)),
    Row(Phase.WAITING_FOR_LOCAL, LocalClosed, Phase.WAITING_FOR_LOCAL, (Command.TELL_WAITING,)),
    Row(Phase.READY, LocalClosed, Phase.WAITING_FOR_LOCAL, (Command.TELL_WAITING,)),
    # A pod whose tunnel broke, and one that has joined, is attached on its own; the others go on serving.
    *(
        row
        for source in (Phase.WAITING_FOR_LOCAL, Phase.READY, Phase.RECONNECTING)
        for row in (
            Row(source, Lost, Phase.RECONNECTING, (Command.RECONNECT,)),
            Row(source, PodJoined, Phase.RECONNECTING, (Command.PLACE,)),
        )
    ),
    Row(Phase.ATTACHING, Lost, Phase.RECONNECTING, (Command.RECONNECT,)),
    Row(Phase.RECONNECTING, Connected, Phase.RECONNECTING, (Command.ATTACH,)),
    Row(Phase.RECONNECTING, AgentEnded, Phase.RECONNECTING, (Command.PLACE,)),
    Row(Phase.RECONNECTING, Placed, Phase.RECONNECTING, (Command.CONNECT,)),
    *(
        row
        for event in (Attached, PodLeft)
        for row in (
            Row(Phase.RECONNECTING, event, Phase.READY, (Command.TELL_READY,), until_last=True, listening=True),
            Row(
                Phase.RECONNECTING, event, Phase.WAITING_FOR_LOCAL, (Command.START_LOCAL,),
                until_last=True, listening=False,
            ),
        )
    ),
    Row(Phase.RECONNECTING, LocalOpened, Phase.RECONNECTING),
    Row(Phase.RECONNECTING, LocalClosed, Phase.RECONNECTING),
    # Before anything was placed there is nothing to hand back.
    *(Row(source, ending, Phase.ENDED) for source in (Phase.RESOLVING, Phase.PREFLIGHT) for ending in _ENDINGS),
    *(
        Row(source, ending, Phase.DETACHING, (Command.HAND_BACK,))
        for source in (
            Phase.PLACING,
            Phase.CONNECTING,
            Phase.ATTACHING,
            Phase.WAITING_FOR_LOCAL,
            Phase.READY,
            Phase.RECONNECTING,
        )
        for ending in _ENDINGS
    ),
    Row(Phase.DETACHING, HandedBack, Phase.ENDED),
    Row(Phase.DETACHING, Interrupted, Phase.ENDED),  # the user does not want to wait
)  # fmt: skip


def step(state: State, event: Event) -> tuple[State, tuple[Order, ...]]:
    """Decide what an event means: the state after it, and what to do."""
    noted = _note(state, event)
    row = _find(noted, event)
    if row is None:
        return state, ()
    if row.until_last and (noted.waiting or not noted.pods):
        return noted, ()
    phase_changes = row.target is not state.phase
    after = replace(noted, phase=row.target)
    if phase_changes and row.target is not Phase.RECONNECTING:
        after = replace(after, waiting=after.pods)
    return after, tuple(_orders(row, after, event))


def _find(state: State, event: Event) -> Row | None:
    for row in TABLE:
        if row.source is state.phase and row.event is type(event) and row.listening in (None, state.listening):
            return row
    return None


def _note(state: State, event: Event) -> State:
    """What the event says about pods and local ports, in whatever phase."""
    match event:
        case Resolved(pods):
            return replace(state, pods=pods, waiting=pods)
        case LocalOpened() | LocalClosed():
            return replace(state, listening=isinstance(event, LocalOpened))
        case Lost(pod) | PodJoined(pod):
            already = state.waiting if state.phase in (Phase.RECONNECTING, Phase.ATTACHING) else frozenset[str]()
            return replace(state, pods=state.pods | {pod}, waiting=already | {pod})
        case PodLeft(pod):
            return replace(state, pods=state.pods - {pod}, waiting=state.waiting - {pod})
        case PodEvent(pod) if state.phase is not Phase.RECONNECTING or isinstance(event, Attached):
            return replace(state, waiting=state.waiting - {pod})
        case _:
            return state


def _orders(row: Row, state: State, event: Event) -> list[Order]:
    """Commands for a pod go to the one that the event is about, or to all when the whole session moves on."""
    alone = isinstance(event, PodEvent) and not row.until_last
    pods = [event.pod] if alone and isinstance(event, PodEvent) else sorted(state.pods)
    return [
        order
        for command in row.commands
        for order in ([Order(command, pod) for pod in pods] if command in PER_POD else [Order(command)])
    ]
