"""Pod Security admission: the levels that a namespace's labels ask for, over a whole pod's spec.

Checks and texts are those of k8s.io/pod-security-admission/policy, in its order (by the check's identifier).
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from kdev.sandbox.api.pod_specs import containers_of
from kdev.sandbox.interface import Object

ENFORCE: Final = "pod-security.kubernetes.io/enforce"
WARN: Final = "pod-security.kubernetes.io/warn"

_BASELINE_CAPABILITIES: Final = frozenset(
    {
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    }
)
_RESTRICTED_VOLUMES: Final = frozenset(
    {"name", "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}
)
_SAFE_SYSCTLS: Final = frozenset(
    {
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    }
)


def violations(labels: dict[str, str], mode: str, spec: Object) -> str | None:
    """What a namespace's level in one mode has against a pod.

    Returns:
        ``violates PodSecurity "baseline:latest": …``, or None when the pod may run. An unknown level counts as
        ``restricted``, as the real admission treats it.
    """
    level = labels.get(mode, "privileged")
    if level == "privileged":
        return None
    version = labels.get(f"{mode}-version", "latest")
    checks = _BASELINE if level == "baseline" else _RESTRICTED
    found = [text for check in checks if (text := check(spec))]
    level = "baseline" if level == "baseline" else "restricted"
    return f'violates PodSecurity "{level}:{version}": {", ".join(found)}' if found else None


def _containers(spec: Object) -> Iterator[tuple[str, Object]]:
    for _, container in containers_of(spec):
        yield container["name"], container.get("securityContext") or {}


def _names(names: Sequence[str]) -> str:
    word = "container" if len(names) == 1 else "containers"
    return f"{word} " + ", ".join(f'"{name}"' for name in names)


def _privilege_escalation(spec: Object) -> str | None:
    bad = [name for name, context in _containers(spec) if context.get("allowPrivilegeEscalation") is not False]
    needed = "must set securityContext.allowPrivilegeEscalation=false"
    return f"allowPrivilegeEscalation != false ({_names(bad)} {needed})" if bad else None


def _added(spec: Object, allowed: frozenset[str]) -> tuple[list[str], list[str]]:
    bad, capabilities = [], set()
    for name, context in _containers(spec):
        extra = set((context.get("capabilities") or {}).get("add") or ()) - allowed
        if extra:
            bad.append(name)
            capabilities |= extra
    return bad, sorted(capabilities)


def _capabilities_baseline(spec: Object) -> str | None:
    bad, capabilities = _added(spec, _BASELINE_CAPABILITIES)
    if not bad:
        return None
    listed = ", ".join(f'"{capability}"' for capability in capabilities)
    return f"non-default capabilities ({_names(bad)} must not include {listed} in securityContext.capabilities.add)"


def _capabilities_restricted(spec: Object) -> str | None:
    undropped = [
        name
        for name, context in _containers(spec)
        if "ALL" not in ((context.get("capabilities") or {}).get("drop") or ())
    ]
    adding, capabilities = _added(spec, frozenset({"NET_BIND_SERVICE"}))
    parts = []
    if undropped:
        parts.append(f'{_names(undropped)} must set securityContext.capabilities.drop=["ALL"]')
    if adding:
        listed = ", ".join(f'"{capability}"' for capability in capabilities)
        parts.append(f"{_names(adding)} must not include {listed} in securityContext.capabilities.add")
    return f"unrestricted capabilities ({'; '.join(parts)})" if parts else None


def _host_namespaces(spec: Object) -> str | None:
    bad = [f"{field}=true" for field in ("hostNetwork", "hostPID", "hostIPC") if spec.get(field)]
    return f"host namespaces ({', '.join(bad)})" if bad else None


def _host_path_volumes(spec: Object) -> str | None:
    bad = [volume["name"] for volume in spec.get("volumes") or () if "hostPath" in volume]
    word = "volume" if len(bad) == 1 else "volumes"
    return f"hostPath volumes ({word} " + ", ".join(f'"{name}"' for name in bad) + ")" if bad else None


def _host_ports(spec: Object) -> str | None:
    bad, ports = [], set()
    for _, container in containers_of(spec):
        used = {port["hostPort"] for port in container.get("ports") or () if port.get("hostPort")}
        if used:
            bad.append(container["name"])
            ports |= used
    if not bad:
        return None
    uses = "uses hostPort" if len(bad) == 1 else "use hostPorts"
    return f"hostPort ({_names(bad)} {uses} {', '.join(map(str, sorted(ports)))})"


def _privileged(spec: Object) -> str | None:
    bad = [name for name, context in _containers(spec) if context.get("privileged")]
    return f"privileged ({_names(bad)} must not set securityContext.privileged=true)" if bad else None


def _proc_mount(spec: Object) -> str | None:
    bad = [name for name, context in _containers(spec) if context.get("procMount", "Default") != "Default"]
    return f'procMount ({_names(bad)} must not set securityContext.procMount to "Unmasked")' if bad else None


def _restricted_volumes(spec: Object) -> str | None:
    bad = [volume for volume in spec.get("volumes") or () if set(volume) - _RESTRICTED_VOLUMES]
    if not bad:
        return None
    kinds = sorted({kind for volume in bad for kind in set(volume) - _RESTRICTED_VOLUMES})
    names = ", ".join(f'"{volume["name"]}"' for volume in bad)
    word, uses, of = ("volume", "uses", "type") if len(bad) == 1 else ("volumes", "use", "types")
    listed = ", ".join(f'"{kind}"' for kind in kinds)
    return f"restricted volume types ({word} {names} {uses} restricted volume {of} {listed})"


def _run_as_non_root(spec: Object) -> str | None:
    pod = (spec.get("securityContext") or {}).get("runAsNonRoot")
    explicit = [name for name, context in _containers(spec) if context.get("runAsNonRoot") is False]
    unset = [name for name, context in _containers(spec) if context.get("runAsNonRoot") is None]
    if explicit:
        return f"runAsNonRoot != true ({_names(explicit)} must not set securityContext.runAsNonRoot=false)"
    if pod is False:
        return "runAsNonRoot != true (pod must not set securityContext.runAsNonRoot=false)"
    if pod or not unset:
        return None
    return f"runAsNonRoot != true (pod or {_names(unset)} must set securityContext.runAsNonRoot=true)"


def _run_as_user(spec: Object) -> str | None:
    bad = [name for name, context in _containers(spec) if context.get("runAsUser") == 0]
    parts = ["pod must not set runAsUser=0"] if (spec.get("securityContext") or {}).get("runAsUser") == 0 else []
    parts += [f"{_names(bad)} must not set runAsUser=0"] if bad else []
    return f"runAsUser=0 ({'; '.join(parts)})" if parts else None


def _seccomp_type(context: Object) -> str | None:
    kind = (context.get("seccompProfile") or {}).get("type")
    return None if kind is None else str(kind)


def _seccomp_baseline(spec: Object) -> str | None:
    bad = [name for name, context in _containers(spec) if _seccomp_type(context) == "Unconfined"]
    parts = ["pod"] if _seccomp_type(spec.get("securityContext") or {}) == "Unconfined" else []
    parts += [_names(bad)] if bad else []
    profile = 'must not set securityContext.seccompProfile.type to "Unconfined"'
    return f"seccompProfile ({'; '.join(parts)} {profile})" if parts else None


def _seccomp_restricted(spec: Object) -> str | None:
    if unconfined := _seccomp_baseline(spec):
        return unconfined
    pod = _seccomp_type(spec.get("securityContext") or {})
    bad = [name for name, context in _containers(spec) if _seccomp_type(context) is None]
    if pod or not bad:
        return None
    needed = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return f"seccompProfile (pod or {_names(bad)} {needed})"


def _sysctls(spec: Object) -> str | None:
    asked = [item["name"] for item in (spec.get("securityContext") or {}).get("sysctls") or ()]
    bad = [name for name in asked if name not in _SAFE_SYSCTLS]
    return f"forbidden sysctls ({', '.join(bad)})" if bad else None


_Check = Callable[[Object], str | None]

_BASELINE: Final[tuple[_Check, ...]] = (
    _capabilities_baseline,
    _host_namespaces,
    _host_path_volumes,
    _host_ports,
    _privileged,
    _proc_mount,
    _seccomp_baseline,
    _sysctls,
)
_RESTRICTED: Final[tuple[_Check, ...]] = (
    _privilege_escalation,
    _capabilities_restricted,
    _host_namespaces,
    _host_path_volumes,
    _host_ports,
    _privileged,
    _proc_mount,
    _restricted_volumes,
    _run_as_non_root,
    _run_as_user,
    _seccomp_restricted,
    _sysctls,
)
