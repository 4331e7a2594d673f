"""What a session is going to do, decided before anything in the cluster is touched; also what ``--dry-run`` prints."""

from collections.abc import Sequence
from dataclasses import dataclass
from secrets import choice, token_hex

from kdev.agent.settings import Settings
from kdev.kube.agent_container import AgentSpec
from kdev.kube.objects import Pod
from kdev.kube.pod_facts import pod_facts
from kdev.kube.ports import PortPair, choose_ports, declared_ports
from kdev.kube.probes import probes_of
from kdev.kube.targets import Resolved, Target
from kdev.mesh_adapters.interface import Identity
from kdev.policies.matching import compile_filters
from kdev.tunnel.messages import Mode, Shadow

AGENT_PORTS = range(15910, 15990)
"""Loopback ports of the pod that no mesh uses: Istio's end at 15090, others' are elsewhere."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user asked for, checked as far as it can be without a cluster.

    Attributes:
        ports: Empty for every declared one.
        sample: Fraction of matched requests, 0 < sample <= 1.
        timeout: Seconds for a stolen request's first byte; None for ever.
        owner: Who runs this.
        command: What to start once the tap is up; empty when a process listens already.
    """

    target: Target
    namespace: str
    mode: Mode
    filters: tuple[str, ...]
    ports: tuple[PortPair, ...]
    sample: float
    timeout: float | None
    exclude_probes: bool
    image: str
    owner: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A wish held against the target that was found."""

    wish: Wish
    resolved: Resolved
    ports: tuple[PortPair, ...]

    @property
    def local_ports(self) -> dict[int, int]:
        """The local port for each of the pod's."""
        return {pair.pod: pair.local for pair in self.ports}

    def shadow(self, pod: Pod) -> Shadow:
        """The first message to the pod's agent."""
        wish = self.wish
        return Shadow(
            mode=wish.mode,
            filters=wish.filters,
            ports=tuple(pair.pod for pair in self.ports),
            probes=probes_of(pod) if wish.exclude_probes else (),
            sample=wish.sample,
            timeout=wish.timeout,
            owner=wish.owner,
            pod=pod_facts(pod),
        )


_ANY_IDENTITY = Identity(b"x-forwarded-client-cert", "xfcc")


def check_filters(filters: Sequence[str]) -> None:
    """Compile the filters as the agent will, before anything is touched.

    Whether the pod's mesh names its callers is only known there; until then ``peer`` is taken as possible.

    Raises:
        UsageFailure: One is not a filter.
    """
    compile_filters(filters, identity=_ANY_IDENTITY, probes=())


def make_plan(wish: Wish, resolved: Resolved) -> Plan:
    """Choose the ports, and read what is needed of every pod.

    Raises:
        UsageFailure: A port is not the target's.
        TargetFailure: There is no port to shadow, or a pod's probes cannot be read.
    """
    plan = Plan(wish, resolved, choose_ports(resolved.pods, wish.ports))
    for pod in resolved.pods:
        plan.shadow(pod)
    return plan


def new_agent(plan: Plan, laptop_key: bytes) -> AgentSpec:
    """An agent of this session under a name that was never used before: ephemeral containers' names are single use.

    Its port is chosen at random, because an earlier agent may still serve its last connections in the same pod.
    """
    taken = {port for pod in plan.resolved.pods for port in declared_ports(pod)} | set(plan.local_ports)
    port = choice([port for port in AGENT_PORTS if port not in taken])
    return AgentSpec(plan.wish.image, Settings(token_hex(4), laptop_key, plan.wish.owner, port))
