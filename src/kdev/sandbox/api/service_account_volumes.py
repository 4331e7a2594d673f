"""The volume by which a pod's programs prove who they are to the API server: token, CA certificate and namespace.

After k8s.io/kubernetes/plugin/pkg/admission/serviceaccount: every container that does not mount something else there
finds it, ephemeral containers never do, since admission meets them only when the pod exists.
"""

import copy
from typing import Final

from kdev.sandbox.api.names import random_suffix
from kdev.sandbox.interface import Object

MOUNT_PATH: Final = "/var/run/secrets/kubernetes.io/serviceaccount"
TOKEN_LIFETIME: Final = 3607
"""Seconds; an hour and a little, as the real admission asks for."""


def mounted(pod: Object, account: Object) -> Object:
    """The pod with the volume in all its containers, unless it or its service account declines."""
    spec = pod["spec"]
    if not spec.get("automountServiceAccountToken", account.get("automountServiceAccountToken", True)):
        return pod
    wanting = [item for kind in ("initContainers", "containers") for item in spec.get(kind) or () if not _has(item)]
    if not wanting:
        return pod
    pod = copy.deepcopy(pod)
    name = f"kube-api-access-{random_suffix()}"
    pod["spec"].setdefault("volumes", []).append(_volume(name))
    for kind in ("initContainers", "containers"):
        for container in pod["spec"].get(kind) or ():
            if not _has(container):
                mount = {"name": name, "readOnly": True, "mountPath": MOUNT_PATH}
                container.setdefault("volumeMounts", []).append(mount)
    return pod


def _has(container: Object) -> bool:
    return any(mount.get("mountPath") == MOUNT_PATH for mount in container.get("volumeMounts") or ())


def _volume(name: str) -> Object:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    authority = {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}
    sources: list[Object] = [
        {"serviceAccountToken": {"expirationSeconds": TOKEN_LIFETIME, "path": "token"}},
        {"configMap": authority},
        {"downwardAPI": {"items": [namespace]}},
    ]
    return {"name": name, "projected": {"defaultMode": 0o644, "sources": sources}}
