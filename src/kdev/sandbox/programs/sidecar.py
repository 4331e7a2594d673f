"""What runs as process 1 of a sidecar container, as Istio's pilot-agent does: starts Envoy, answers probes for the app.

Run as ``python -m kdev.sandbox.programs.sidecar ENVOY proxy sidecar …``. Health probes of the pod's other containers
come to port 15020 and are asked again from 127.0.0.6, as mesh-aware taps expect (pilot-agent's status server).
"""

import asyncio
import functools
import json
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from kdev.sandbox.programs.http1 import HEAD_LIMIT, Request, Response, serve_connection

_AGENT_PORT = 15020
_SOURCE = ("127.0.0.6", 0)
_BOOTSTRAP = "/run/istio/proxy/bootstrap.json"
_HOP_HEADERS = {"host", "connection", "content-length", "transfer-encoding"}

_ENVOY_OPTIONS = (
    *("--concurrency", "1"),  # a dozen sidecars share the machine's cores
    *("--log-level", "warning"),
    "--disable-hot-restart",
)


async def main(envoy: str, environment: Mapping[str, str]) -> int:
    """Run Envoy and the probe server until Envoy ends; its exit code."""
    probers = json.loads(environment.get("ISTIO_KUBE_APP_PROBERS", "{}"))
    handler = functools.partial(answer_probe, probers, environment["INSTANCE_IP"])
    process = await asyncio.create_subprocess_exec(envoy, "-c", _BOOTSTRAP, *_ENVOY_OPTIONS)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, process.terminate)
    server = await asyncio.start_server(
        functools.partial(serve_connection, handler=handler),
        "0.0.0.0",  # noqa: S104 - the kubelet asks from outside the pod
        _AGENT_PORT,
        limit=HEAD_LIMIT,
    )
    async with server:
        code = await process.wait()
    return code if code >= 0 else 128 - code


async def answer_probe(probers: Mapping[str, Any], ip: str, request: Request) -> Response:
    """Ask the app what the kubelet would have asked."""
    probe = probers.get(request.target)
    if probe is None:
        return Response(404)
    try:
        async with asyncio.timeout(float(probe.get("timeoutSeconds", 1))):
            if "httpGet" in probe:
                return Response(await _get(ip, probe["httpGet"], request))
            check = probe.get("tcpSocket") or probe["grpc"]
            _, writer = await asyncio.open_connection(ip, int(check["port"]), local_addr=_SOURCE)
            writer.close()
            return Response(200)
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return Response(500)


async def _get(ip: str, http: Mapping[str, Any], request: Request) -> int:
    """The app's status; the kubelet's headers are passed on, its User-Agent among them."""
    port = int(http["port"])
    reader, writer = await asyncio.open_connection(ip, port, local_addr=_SOURCE, limit=HEAD_LIMIT)
    try:
        own = [(header["name"], header["value"]) for header in http.get("httpHeaders", ())]
        kept = [(name, value) for name, value in request.headers if name.lower() not in _HOP_HEADERS]
        headers = [("Host", f"{ip}:{port}"), *own, *kept, ("Connection", "close")]
        path = http.get("path") or "/"
        lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1"))
        words = (await reader.readuntil(b"\n")).split(None, 2)
        return int(words[1]) if len(words) > 1 and words[1].isdigit() else 500
    finally:
        writer.close()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1], os.environ)))
