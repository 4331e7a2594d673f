"""Health probes that Istio took over from the kubelet.

The injector points each probe at its own agent on port 15020 and keeps the original in the sidecar's environment; the
agent then sends it in the kubelet's place, from the address from which the sidecar's proxy dials, without what the
proxy adds to requests (istio/istio, pkg/kube/inject/app_probe.go and pilot/cmd/pilot-agent/status/server.go).
"""

import json
from collections.abc import Mapping
from typing import Any

from kdev.errors import TargetFailure
from kdev.tunnel.messages import Probe

VARIABLE = "ISTIO_KUBE_APP_PROBERS"
_GRPC_PATH = "/grpc.health.v1.Health/Check"


def rewritten_probes(environment: Mapping[str, str]) -> tuple[Probe, ...]:
    """Read the original probes, and hooks, from the environment of container ``istio-proxy``.

    Raises:
        TargetFailure: The variable is not what Istio writes; the probes would then be mistaken for requests.
    """
    text = environment.get(VARIABLE)
    if not text:
        return ()
    try:
        return tuple(_probe(original) for original in json.loads(text).values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise TargetFailure(
            "istio-probes-unreadable",
            f"The sidecar's variable {VARIABLE} cannot be read, so health probes cannot be told from requests",
            seen=f"{type(error).__name__}: {error}",
            advice="run with --no-exclude-probes if probes may be mirrored or stolen too",
        ) from error


def _probe(original: Mapping[str, Any]) -> Probe:
    if action := original.get("grpc"):
        return Probe(port=_port(action), path=_GRPC_PATH, rewritten=True)
    if action := original.get("httpGet"):
        if action.get("scheme", "HTTP").upper() == "HTTPS":
            return Probe(port=_port(action), path="", rewritten=True)  # nothing of it can be read
        return Probe(port=_port(action), path=_path(action), user_agent=_user_agent(action), rewritten=True)
    return Probe(port=_port(original["tcpSocket"]), path="", rewritten=True)


def _port(action: Mapping[str, Any]) -> int:
    """The injector has resolved named ports."""
    port = int(action["port"])
    if not 0 < port < 65536:
        raise ValueError(f"port {port}")
    return port


def _path(action: Mapping[str, Any]) -> str:
    """The path without query, with the slash that Kubernetes adds where it is missing."""
    path = str(action.get("path") or "/").partition("?")[0]
    return path if path.startswith("/") else f"/{path}"


def _user_agent(action: Mapping[str, Any]) -> str | None:
    for header in action.get("httpHeaders") or ():
        if header["name"].lower() == "user-agent":
            return str(header["value"])
    return None
