"""How a plan looks: as text for people, as JSON for programs."""

from typing import Any

import msgspec

from kdev.policies.filters import parse
from kdev.session.dry_run import DryRun
from kdev.tunnel.messages import Probe, Shadow


def as_value(found: DryRun) -> dict[str, Any]:
    """The plan as plain values, with the names that Kubernetes and the options use."""
    wish, plan = found.plan.wish, found.plan
    return {
        "target": str(plan.resolved),
        "namespace": plan.resolved.namespace,
        "pods": [
            {"name": pod.metadata.name, "probes": msgspec.to_builtins(plan.shadow(pod).probes)}
            for pod in plan.resolved.pods
        ],
        "mode": wish.mode.value,
        "ports": [{"pod": pair.pod, "local": pair.local} for pair in plan.ports],
        "filters": [
            [
                {"key": term.key, "name": term.name, "negated": term.negated, "term": term.text}
                for term in parse(text).terms
            ]
            for text in wish.filters
        ],
        "sample": wish.sample,
        "timeout": wish.timeout,
        "command": list(wish.command),
        "patch": found.agent.patch(),
    }


def as_text(found: DryRun) -> str:
    """The plan for reading."""
    wish, plan = found.plan.wish, found.plan
    lines = [
        f"{wish.mode.value} {plan.resolved} in namespace {plan.resolved.namespace}",
        f"  pods     {', '.join(pod.metadata.name for pod in plan.resolved.pods)}",
        *(f"  port     {pair.pod} of the pod -> {pair.local} here" for pair in plan.ports),
        *(f"  filter   {' AND '.join(term.text for term in parse(text).terms)}" for text in wish.filters),
    ]
    if not wish.filters:
        lines.append("  filter   none: every request but the health probes")
    lines += [f"  probe    {line}" for line in _probes(plan.shadow(plan.resolved.pods[0]))]
    lines.append(f"  sample   {wish.sample:.0%} of what matches" if wish.sample < 1 else "  sample   all that matches")
    lines.append(f"  command  {' '.join(wish.command) or 'none: a process listens already'}")
    patch = msgspec.json.format(msgspec.json.encode(found.agent.patch()), indent=2).decode()
    lines += ["", "Patch of pods/ephemeralcontainers in each pod (admitted by a dry run):", patch]
    return "\n".join(lines)


def _probes(shadow: Shadow) -> list[str]:
    return [_probe(probe) for probe in shadow.probes] or ["none is left alone"]


def _probe(probe: Probe) -> str:
    by = " (sent by the sidecar's agent)" if probe.rewritten else ""
    return f"{probe.path or 'a connection'} on port {probe.port} stays on the pod{by}"
