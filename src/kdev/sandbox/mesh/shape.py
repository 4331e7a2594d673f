"""Istio's fixed numbers and names, on which everybody who deals with its sidecars relies."""

from ipaddress import IPv4Address

PROXY_UID = 1337
OUTBOUND_PORT = 15001
INBOUND_PORT = 15006
HBONE_PORT = 15008
ADMIN_PORT = 15000
AGENT_PORT = 15020
HEALTH_PORT = 15021
UNCAPTURED_PORTS = (15090, HEALTH_PORT, AGENT_PORT)
INBOUND_SOURCE = IPv4Address("127.0.0.6")
"""The address that a sidecar calls its own pod from; the rules let it pass."""

TRUST_DOMAIN = "cluster.local"
SIDECAR = "istio-proxy"
STATUS_ANNOTATION = "sidecar.istio.io/status"
CONFIGURATION_VOLUME = "istio-envoy"
CONFIGURATION_DIRECTORY = "/run/istio/proxy"
"""Istio's is /etc/istio/proxy; containers here share the host's /etc, in which nothing may appear."""
