"""The embedded cluster's Kubernetes API: an HTTPS server with store, controllers, RBAC, admission and streams."""

from kdev.sandbox.api.server import serve

__all__ = ["serve"]
