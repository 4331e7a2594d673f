"""The yardstick: Envoy in the agent's place, behind the same tap."""

import sys
from pathlib import Path

import envoy

from tests.pod_namespace import PodNamespace

PORT = 15901

_TAP = """
import sys
from ipaddress import ip_address
from kdev.agent.tap import Tap
from kdev.mesh_adapters.interface import Hop
with Tap([Hop(local=True, source=ip_address("127.0.0.6"))], [int(sys.argv[1])], int(sys.argv[2])):
    print("tapped", flush=True)
    sys.stdin.read()
"""

_CONFIG = """
admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 15902}}}}}}
static_resources:
  listeners:
  - name: hop
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: hop
          codec_type: AUTO
          route_config:
            virtual_hosts:
            - {{name: all, domains: ["*"], routes: [{{match: {{prefix: /}}, route: {{cluster: app, timeout: 0s}}}}]}}
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}
  clusters:
  - name: app
    type: STATIC
    load_assignment:
      cluster_name: app
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: {address}, port_value: {app_port}}}}}}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        use_downstream_protocol_config: {{http_protocol_options: {{}}, http2_protocol_options: {{}}}}
"""


def envoy_hop(pod: PodNamespace, address: str, app_port: int) -> int:
    """Put Envoy into the pod's hop; the pid of its only worker's process."""
    config = pod.scratch / "envoy.yaml"
    config.write_text(_CONFIG.format(port=PORT, address=address, app_port=app_port))
    binary = str(Path(envoy.__file__).parent / "_bin" / "envoy")
    process = pod.start(
        binary, "--config-path", str(config), "--concurrency", "1", "--disable-hot-restart", "-l", "warning", ready=b""
    )
    pod.await_port("127.0.0.1", PORT)
    pod.start(sys.executable, "-c", _TAP, str(app_port), str(PORT), ready=b"tapped")
    return process.pid
