"""What the launcher is told: one container's, or one more program's, process as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from kdev.sandbox.syscalls import Clone


@dataclass(frozen=True, slots=True)
class Bind:
    """A file or directory of the host shown at another path; ``kind`` is ``file`` or ``directory``."""

    source: str
    target: str
    kind: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Files:
    """How the container's tree differs from the host's."""

    binds: tuple[Bind, ...] = ()
    read_only_root: bool = False


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the process is (a container's securityContext, resolved).

    Attributes:
        uid: User.
        gid: Group.
        groups: Supplementary groups.
        capabilities: Names of the bounding set; root has all of them, other users none, as in Kubernetes.
        no_new_privileges: Whether set-uid programs have no effect.
    """

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    capabilities: frozenset[str] = frozenset()
    no_new_privileges: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """One process to start.

    Attributes:
        arguments: The program, found on the environment's PATH, and its arguments.
        environment: Its whole environment.
        directory: Its working directory.
        identity: Who it is.
        drop_capabilities: Numbers to take out of the bounding set; follows from the identity and the kernel.
        enter: Namespaces to enter first, by kind and inherited descriptor.
        new_pid_namespace: Whether it is the first process of a fresh process namespace.
        join_mounts: Descriptor of the mount namespace to enter; None for a fresh one made from ``files``.
        files: The fresh mount namespace's.
        terminal: Whether descriptor 0 is a terminal to be its controlling one.
        give: Descriptors to make the user the owner of: programs reopen /dev/stdout, as Envoy's access log does.
    """

    arguments: Sequence[str]
    environment: Mapping[str, str]
    directory: str = "/"
    identity: Identity = field(default_factory=Identity)
    drop_capabilities: tuple[int, ...] = ()
    enter: tuple[tuple[Clone, int], ...] = ()
    new_pid_namespace: bool = True
    join_mounts: int | None = None
    files: Files = field(default_factory=Files)
    terminal: bool = False
    give: tuple[int, ...] = ()

    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that the launcher must inherit."""
        joined = () if self.join_mounts is None else (self.join_mounts,)
        return (*(descriptor for _, descriptor in self.enter), *joined)

    def to_json(self) -> dict[str, Any]:
        """The form that ``launcher.main`` reads."""
        return {
            "arguments": list(self.arguments),
            "environment": dict(self.environment),
            "directory": self.directory,
            "uid": self.identity.uid,
            "gid": self.identity.gid,
            "groups": list(self.identity.groups),
            "no_new_privileges": self.identity.no_new_privileges,
            "drop_capabilities": list(self.drop_capabilities),
            "enter": [[int(kind), descriptor] for kind, descriptor in self.enter],
            "new_pid_namespace": self.new_pid_namespace,
            "join_mounts": self.join_mounts,
            "files": {
                "binds": [list(asdict(bind).values()) for bind in self.files.binds],
                "read_only_root": self.files.read_only_root,
            },
            "terminal": self.terminal,
            "give": list(self.give),
        }
