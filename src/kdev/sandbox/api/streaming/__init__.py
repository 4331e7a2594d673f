"""Upgraded connections: exec, attach and port-forward, over WebSocket and over SPDY/3.1, and both stacked."""
