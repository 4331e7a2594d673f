"""A container's identity out of its pod's and its own securityContext."""

from kdev.sandbox.capabilities import capabilities
from kdev.sandbox.interface import Object
from kdev.sandbox.plans import Identity


class ForbiddenIdentity(ValueError):  # noqa: N818 - what the pod asks for, reported as CreateContainerConfigError
    """The container would run as a user its pod forbids."""


def identity(pod: Object, container: Object) -> Identity:
    """Who the container's processes are; the container's own word counts before its pod's.

    Images here have no user of their own, so without ``runAsUser`` it is root.

    Raises:
        ForbiddenIdentity: ``runAsNonRoot`` meets user 0.
        ValueError: An unknown capability is asked for.
    """
    of_pod: Object = pod["spec"].get("securityContext") or {}
    own: Object = container.get("securityContext") or {}
    merged = of_pod | own
    uid = int(merged.get("runAsUser", 0))
    gid = int(merged.get("runAsGroup", 0))
    if merged.get("runAsNonRoot", False) and uid == 0:
        raise ForbiddenIdentity(
            "container has runAsNonRoot and image will run as root "
            f'(pod: "{pod["metadata"]["name"]}_{pod["metadata"]["namespace"]}", container: {container["name"]})'
        )
    groups = [int(group) for group in of_pod.get("supplementalGroups", ())]
    if "fsGroup" in of_pod:
        groups.append(int(of_pod["fsGroup"]))
    asked: Object = own.get("capabilities") or {}
    privileged = bool(own.get("privileged", False))
    return Identity(
        uid=uid,
        gid=gid,
        groups=tuple(sorted({gid, *groups})),
        capabilities=capabilities(asked.get("add", ()), asked.get("drop", ()), privileged=privileged),
        no_new_privileges=not own.get("allowPrivilegeEscalation", True),
    )
