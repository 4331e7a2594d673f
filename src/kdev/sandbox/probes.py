"""A container's health probes: what is asked, and what so many answers in a row mean (Kubernetes: Probe v1 core)."""

from dataclasses import dataclass
from typing import Self

from kdev.sandbox.interface import Object


@dataclass(frozen=True, slots=True)
class HttpGet:
    """Status 200 to 399 is healthy."""

    scheme: str
    host: str
    port: int
    path: str
    headers: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class TcpSocket:
    """An accepted connection is healthy."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Grpc:
    """grpc.health.v1 SERVING is healthy."""

    port: int
    service: str


@dataclass(frozen=True, slots=True)
class Exec:
    """Exit code 0 is healthy."""

    command: tuple[str, ...]


Check = HttpGet | TcpSocket | Grpc | Exec


@dataclass(frozen=True, slots=True)
class Probe:
    """One probe with its rhythm, in seconds."""

    check: Check
    initial_delay: float
    period: float
    timeout: float
    success_threshold: int
    failure_threshold: int

    @classmethod
    def parse(cls, spec: Object, container: Object) -> Self:
        """Read a probe's spec; ports may be named after the container's.

        Raises:
            ValueError: It names no check, or a port that the container does not declare.
        """
        return cls(
            check=_check(spec, container),
            initial_delay=float(spec.get("initialDelaySeconds", 0)),
            period=float(spec.get("periodSeconds", 10)),
            timeout=float(spec.get("timeoutSeconds", 1)),
            success_threshold=int(spec.get("successThreshold", 1)),
            failure_threshold=int(spec.get("failureThreshold", 3)),
        )


@dataclass(slots=True)
class Verdict:
    """The answers of one probe so far."""

    probe: Probe
    _last: bool | None = None
    _in_a_row: int = 0

    def observe(self, *, success: bool) -> bool:
        """Take an answer; whether enough of its kind came in a row to believe it."""
        self._in_a_row = self._in_a_row + 1 if success == self._last else 1
        self._last = success
        return self._in_a_row >= (self.probe.success_threshold if success else self.probe.failure_threshold)


def _check(spec: Object, container: Object) -> Check:
    if "httpGet" in spec:
        http = spec["httpGet"]
        headers = tuple((str(h["name"]), str(h["value"])) for h in http.get("httpHeaders", ()))
        port = _port(http["port"], container)
        return HttpGet(http.get("scheme", "HTTP"), http.get("host", ""), port, http.get("path") or "/", headers)
    if "tcpSocket" in spec:
        return TcpSocket(spec["tcpSocket"].get("host", ""), _port(spec["tcpSocket"]["port"], container))
    if "grpc" in spec:
        return Grpc(int(spec["grpc"]["port"]), spec["grpc"].get("service") or "")
    if "exec" in spec:
        return Exec(tuple(spec["exec"].get("command", ())))
    raise ValueError("the probe names no check")


def _port(port: int | str, container: Object) -> int:
    if isinstance(port, int) or port.isdecimal():
        return int(port)
    for declared in container.get("ports", ()):
        if declared.get("name") == port:
            return int(declared["containerPort"])
    raise ValueError(f'the container declares no port named "{port}"')
