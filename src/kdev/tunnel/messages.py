"""The session protocol: what laptop and agent say to each other on the tunnel's control stream.

Messages are JSON objects with a ``type`` tag, each preceded by its length (see ``framing``). Decoding is
strict about types and silent about unknown fields, so that a newer peer may add fields; a change that an older
peer would misread raises ``PROTOCOL_VERSION``, which the handshake compares before anything else is said.
"""

from enum import StrEnum

import msgspec

PROTOCOL_VERSION = 1


class Mode(StrEnum):
    """What happens to a matched request."""

    MIRROR = "mirror"
    STEAL = "steal"


class Message(msgspec.Struct, frozen=True, kw_only=True, tag_field="type", tag=str.lower):
    """A message of the session protocol; each subclass is one ``type``."""


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """A health probe of the target's pod, as the kubelet or the sidecar sends it to the application.

    Attributes:
        port: The application's port.
        path: Of an HTTP probe, without query; ``/grpc.health.v1.Health/Check`` for a gRPC probe; empty for TCP.
        user_agent: What the probe sends as ``User-Agent`` when its spec sets one; the default begins with
            ``kube-probe/``.
        rewritten: Whether the sidecar's agent sends it in the kubelet's place, past the sidecar's proxy; it then
            lacks what the proxy adds to every request.
    """

    port: int
    path: str
    user_agent: str | None = None
    rewritten: bool = False


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """What of a container's spec tells a mesh apart.

    Attributes:
        init: Whether it stands among ``initContainers``.
        sidecar: Whether an init container with ``restartPolicy: Always``.
        user: ``securityContext.runAsUser``, from the container or else the pod.
        group: ``securityContext.runAsGroup``, likewise.
        environment: Only variables with a plain value, and only of containers known to belong to a mesh.
    """

    name: str
    image: str
    init: bool = False
    sidecar: bool = False
    user: int | None = None
    group: int | None = None
    environment: dict[str, str] = {}


class PodFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the laptop read of the target's pod: evidence for detection, the only view the agent has of the API."""

    namespace: str
    name: str
    ip: str
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    containers: tuple[Container, ...] = ()


# ---- laptop to agent


class Shadow(Message, frozen=True, kw_only=True):
    """Begin: tap these ports and apply these filters.

    Attributes:
        filters: Source text, one string per ``--filter``; AND inside, OR between; none matches everything.
        ports: The application's ports to tap.
        probes: Health probes to leave alone; empty when they are wanted.
        sample: Fraction of matched requests that are acted on, 0 < sample <= 1.
        timeout: Seconds that a stolen request may wait for the first byte of its answer; None waits for ever.
        owner: Who runs the session, for the audit line and for refusing a second one.
    """

    mode: Mode
    filters: tuple[str, ...]
    ports: tuple[int, ...]
    probes: tuple[Probe, ...]
    sample: float
    timeout: float | None
    owner: str
    pod: PodFacts


class Listening(Message, frozen=True, kw_only=True):
    """Which of the tapped ports have a local process that accepts; requests to the others stay on the pod."""

    ports: tuple[int, ...]


class Detach(Message, frozen=True, kw_only=True):
    """End: drop the tap, hand the sidecar's connections back, then exit."""

    reason: str


# ---- agent to laptop


class Step(Message, frozen=True, kw_only=True):
    """Progress: ``name`` began, or ended with ``detail`` after ``seconds``."""

    name: str
    detail: str = ""
    seconds: float | None = None


class Ready(Message, frozen=True, kw_only=True):
    """The tap is up and the self-test arrived.

    Attributes:
        mesh: The adapter's name, for example ``istio``; ``none`` without a mesh.
        direct: Connections of the sidecar that still bypass the tap.
        warnings: What the adapter thinks the user should know, one sentence each.
    """

    mesh: str
    direct: int
    warnings: tuple[str, ...] = ()


class Direct(Message, frozen=True, kw_only=True):
    """How many connections still bypass the tap, sent when the number has changed."""

    connections: int


class Seen(Message, frozen=True, kw_only=True):
    """One matched request, for a live line; the agent sends at most a bounded number of them per second.

    Attributes:
        action: ``mirrored``, ``stolen``, ``dropped`` (a copy that found no room) or ``fell-back``.
        detail: Why, for the last two.
    """

    port: int
    method: str
    path: str
    action: str
    detail: str = ""


class Counts(Message, frozen=True, kw_only=True):
    """Totals since the session's begin."""

    matched: int = 0
    mirrored: int = 0
    stolen: int = 0
    dropped: int = 0
    fell_back: int = 0
    failed: int = 0
    direct: int = 0


class Refusal(Message, frozen=True, kw_only=True):
    """The agent cannot do what was asked; the fields of ``errors.Explanation``."""

    reference: str
    cause: str
    seen: str
    advice: str


class Ended(Message, frozen=True, kw_only=True):
    """The last message: the tap is down, all connections are handed back or closed."""

    reason: str


FromLaptop = Shadow | Listening | Detach
FromAgent = Step | Ready | Direct | Seen | Counts | Refusal | Ended
