"""Which ports of a pod are tapped, and where their requests go on this machine."""

from collections.abc import Sequence
from dataclasses import dataclass

from kdev.errors import TargetFailure, UsageFailure
from kdev.kube.mesh_containers import application_containers
from kdev.kube.objects import Pod


@dataclass(frozen=True, slots=True)
class PortPair:
    """A port of the pod, and the local one that stands in for it."""

    pod: int
    local: int

    def __str__(self) -> str:
        return str(self.pod) if self.pod == self.local else f"{self.pod}:{self.local}"


def parse_port(text: str) -> PortPair:
    """Read ``POD[:LOCAL]``.

    Raises:
        UsageFailure: It is not that.
    """
    pod, colon, local = text.partition(":")
    numbers = [pod, local] if colon else [pod, pod]
    if not all(number.isascii() and number.isdigit() and 0 < int(number[:6]) < 65536 for number in numbers):
        raise UsageFailure(
            "port-syntax",
            f"'{text}' is no port",
            seen=f"--port {text}",
            advice="write --port POD or --port POD:LOCAL with numbers from 1 to 65535, for example --port 8080:3000",
        )
    return PortPair(int(numbers[0]), int(numbers[1]))


def declared_ports(pod: Pod) -> tuple[int, ...]:
    """The TCP ports that the pod's containers declare, the mesh's own left out."""
    ports = (port for container in application_containers(pod) for port in container.ports or ())
    return tuple(dict.fromkeys(port.container_port for port in ports if port.protocol == "TCP"))


def choose_ports(pods: Sequence[Pod], wanted: Sequence[PortPair]) -> tuple[PortPair, ...]:
    """The wanted ports, or every declared one when none is wanted.

    Raises:
        UsageFailure: One is wanted twice, or is declared by none of the pods that declare any.
        TargetFailure: None is wanted and none is declared.
    """
    declared = tuple(dict.fromkeys(port for pod in pods for port in declared_ports(pod)))
    _refuse_repeated(wanted)
    if not wanted:
        if not declared:
            raise TargetFailure(
                "no-port-declared",
                "The target declares no ports, so kdev cannot tell which to shadow",
                seen=f"pod {pods[0].metadata.name}: no containerPort",
                advice="name the one on which the application listens: --port 8080",
            )
        return tuple(PortPair(port, port) for port in declared)
    for pair in wanted:
        if declared and pair.pod not in declared:
            raise UsageFailure(
                "port-undeclared",
                f"The target does not declare port {pair.pod}",
                seen=f"declared: {', '.join(map(str, declared))}",
                advice=f"use one of them, for example --port {declared[0]}",
            )
    return tuple(wanted)


def _refuse_repeated(wanted: Sequence[PortPair]) -> None:
    ports = [pair.pod for pair in wanted]
    repeated = next((port for port in ports if ports.count(port) > 1), None)
    if repeated is not None:
        raise UsageFailure(
            "port-repeated",
            f"Port {repeated} is given more than once",
            seen=" ".join(f"--port {pair}" for pair in wanted),
            advice="give each port of the pod once; two of them may share a local port",
        )
