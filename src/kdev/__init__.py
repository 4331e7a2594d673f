"""kdev runs a local process as if it were a pod of a meshed Kubernetes workload."""

__version__ = "0.1.0"
