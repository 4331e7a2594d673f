"""Which requests are health probes: they belong to the pod, whatever the filters say.

A stolen liveness probe restarts the pod, so a doubtful request counts as a probe; that costs a developer one request
with a kubelet's ``User-Agent`` on a probe's own path.
"""

from collections.abc import Iterable

from kdev.policies.requests import Request
from kdev.tunnel.messages import Probe

GRPC_HEALTH_CHECK = b"/grpc.health.v1.Health/Check"
"""What a gRPC probe calls (grpc/grpc, doc/health-checking.md)."""

KUBELET = (b"kube-probe/", b"kube-lifecycle/")
"""How the kubelet's own User-Agent begins, for probes and for lifecycle hooks, unless the spec sets another
(kubernetes/kubernetes, pkg/probe/http/request.go and pkg/kubelet/lifecycle/handlers.go)."""

FIELDS = frozenset((b":method", b":path", b"user-agent", b"x-request-id"))
"""The HTTP/2 fields that ``find`` looks at."""


class ProbeTable:
    """The pod's probes by where they go; asked for each request, so that all others cost one look-up."""

    def __init__(self, probes: Iterable[Probe]) -> None:
        self._probes: dict[tuple[int, bytes], list[Probe]] = {}
        for probe in probes:
            if probe.path:  # a TCP probe sends nothing that could match
                place = (probe.port, probe.path.encode().partition(b"?")[0])
                self._probes.setdefault(place, []).append(probe)

    def __bool__(self) -> bool:
        return bool(self._probes)

    def find(self, request: Request) -> Probe | None:
        """Return the probe that this request is, if it is one."""
        for path in request.paths:
            for probe in self._probes.get((request.port, path), ()):
                if _is(probe, path, request):
                    return probe
        return None


def _is(probe: Probe, path: bytes, request: Request) -> bool:
    if request.method != (b"POST" if path == GRPC_HEALTH_CHECK else b"GET"):
        return False
    if probe.rewritten and request.values(b"x-request-id"):
        return False  # came through the sidecar's proxy, which a rewritten probe never does
    agents = request.values(b"user-agent")
    if probe.user_agent is not None and probe.user_agent.encode() in agents:
        return True
    return any(agent.startswith(KUBELET) for agent in agents)
