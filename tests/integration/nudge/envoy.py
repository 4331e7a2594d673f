"""A real Envoy in the place of the sidecar: it takes requests on loopback and dials the application from 127.0.0.6."""

import contextlib
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.netlink.namespaces import Namespace
from tests.integration.nudge.conftest import POD4, PORT

LISTENER, ADMIN = 15006, 15000
_TYPE = "type.googleapis.com/envoy.extensions"


def configuration(*, http2: bool) -> dict[str, Any]:
    """Envoy's bootstrap, in what matters here like Istio's inbound cluster: passed on as it came, from 127.0.0.6."""
    upstream = {
        "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}} if http2 else {"http_protocol_options": {}},
    }
    cluster = {
        "name": "app",
        "type": "STATIC",
        "upstream_bind_config": {"source_address": _address("127.0.0.6", 0)["socket_address"]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": upstream},
        "load_assignment": {
            "cluster_name": "app",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(POD4, PORT)}}]}],
        },
    }
    manager = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "inbound",
        "route_config": {
            "virtual_hosts": [
                {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "app"}}]}
            ]
        },
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"},
            }
        ],
    }
    filters = [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]
    listener = {"address": _address("127.0.0.1", LISTENER), "filter_chains": [{"filters": filters}]}
    return {
        "admin": {"address": _address("127.0.0.1", ADMIN)},
        "static_resources": {"listeners": [listener], "clusters": [cluster]},
    }


@contextlib.contextmanager
def running_envoy(pod: Namespace, envoy: str, directory: Path, *, http2: bool) -> Iterator[None]:
    """An Envoy that is ready."""
    bootstrap = directory / "envoy.json"
    bootstrap.write_text(json.dumps(configuration(http2=http2)))
    command = [
        *pod.entering(),
        envoy,
        "-c",
        str(bootstrap),
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "-l",
        "error",
    ]
    with subprocess.Popen(command, pass_fds=[pod.descriptor]) as process:
        try:
            deadline = time.monotonic() + 20
            while pod.call(_is_unready):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield
        finally:
            process.terminate()


def _is_unready() -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{ADMIN}/ready", timeout=1) as answer:
            return answer.status != 200
    except (OSError, urllib.error.URLError):
        return True


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}
