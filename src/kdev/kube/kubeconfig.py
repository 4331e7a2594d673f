"""Reading kubeconfig files as kubectl does: which cluster, which user, which namespace.

``KUBECONFIG`` may name several files; the first one that sets a value or defines a name wins, and relative paths
belong to the file that holds them (Kubernetes documentation, "Organizing Cluster Access Using kubeconfig Files").
Nothing is contacted or run here; see ``credentials`` for that.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar

import msgspec

from kdev.errors import ClusterFailure

MAX_FILE_SIZE = 4 << 20
"""Bytes. A kubeconfig with embedded certificates for a hundred clusters is below one MiB."""


class Cluster(msgspec.Struct, frozen=True, rename="kebab"):
    """How to reach an API server."""

    server: str = ""
    certificate_authority: str | None = None
    certificate_authority_data: str | None = None
    insecure_skip_tls_verify: bool = False
    tls_server_name: str | None = None
    proxy_url: str | None = None


class ExecVariable(msgspec.Struct, frozen=True):
    """One environment variable of a credential plugin."""

    name: str
    value: str


class Exec(msgspec.Struct, frozen=True, rename="camel"):
    """A credential plugin (Kubernetes documentation, "client-go credential plugins")."""

    api_version: str
    command: str
    args: tuple[str, ...] | None = None
    env: tuple[ExecVariable, ...] | None = None
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = "IfAvailable"


class User(msgspec.Struct, frozen=True, rename="kebab"):
    """How to prove who one is."""

    client_certificate: str | None = None
    client_certificate_data: str | None = None
    client_key: str | None = None
    client_key_data: str | None = None
    token: str | None = None
    token_file: str | None = msgspec.field(default=None, name="tokenFile")
    username: str | None = None
    password: str | None = None
    exec: Exec | None = None
    auth_provider: dict[str, object] | None = None


class Context(msgspec.Struct, frozen=True):
    """A cluster, a user and a namespace under one name."""

    cluster: str = ""
    user: str = ""
    namespace: str = "default"


class _NamedCluster(msgspec.Struct, frozen=True):
    name: str
    cluster: Cluster | None = None


class _NamedUser(msgspec.Struct, frozen=True):
    name: str
    user: User | None = None


class _NamedContext(msgspec.Struct, frozen=True):
    name: str
    context: Context | None = None


class _File(msgspec.Struct, frozen=True, rename="kebab"):
    current_context: str = ""
    clusters: tuple[_NamedCluster, ...] | None = None
    users: tuple[_NamedUser, ...] | None = None
    contexts: tuple[_NamedContext, ...] | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """One context with all it names; paths are absolute.

    Attributes:
        context: Its name.
        namespace: The one to use when none is typed.
    """

    context: str
    namespace: str
    cluster: Cluster
    user: User


def read_kubeconfig(environment: Mapping[str, str], context: str | None) -> Selection:
    """Read the files that the environment names and select a context.

    Args:
        environment: ``KUBECONFIG`` and ``HOME`` are looked at.
        context: The one to use instead of the files' current one.

    Raises:
        ClusterFailure: No file, a malformed one, or a name that leads nowhere.
    """
    paths = _paths(environment)
    files = [_read_file(path) for path in paths if path.exists()]
    if not files:
        raise ClusterFailure(
            "kubeconfig-missing",
            "There is no kubeconfig",
            seen=", ".join(map(str, paths)),
            advice="set KUBECONFIG to your kubeconfig's path, or start an embedded cluster with 'kdev sandbox up'",
        )
    return _select(files, context)


def _paths(environment: Mapping[str, str]) -> list[Path]:
    named = [Path(path).expanduser() for path in environment.get("KUBECONFIG", "").split(os.pathsep) if path]
    return named or [Path(environment.get("HOME", "~")).expanduser() / ".kube" / "config"]


def _read_file(path: Path) -> _File:
    import yaml  # noqa: PLC0415 - 30 ms that commands without a cluster need not wait for

    try:
        return _absolute(msgspec.convert(yaml.safe_load(_text_of(path)) or {}, _File), path.parent)
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise ClusterFailure(
            "kubeconfig-malformed",
            f"The kubeconfig {path} cannot be read",
            seen=str(error),
            advice=f"mend the file; 'kubectl config view --kubeconfig {path}' should print it",
        ) from error


def _text_of(path: Path) -> bytes:
    with path.open("rb") as file:
        text = file.read(MAX_FILE_SIZE + 1)
    if len(text) > MAX_FILE_SIZE:
        raise ValueError(f"longer than {MAX_FILE_SIZE} bytes")
    return text


def _absolute(file: _File, folder: Path) -> _File:
    def resolved(path: str | None) -> str | None:
        return str(folder.absolute() / path) if path else None

    clusters = tuple(
        _NamedCluster(
            entry.name,
            msgspec.structs.replace(entry.cluster, certificate_authority=resolved(entry.cluster.certificate_authority)),
        )
        for entry in file.clusters or ()
        if entry.cluster
    )
    users = tuple(
        _NamedUser(
            entry.name,
            msgspec.structs.replace(
                entry.user,
                client_certificate=resolved(entry.user.client_certificate),
                client_key=resolved(entry.user.client_key),
                token_file=resolved(entry.user.token_file),
                exec=_absolute_command(entry.user.exec, folder),
            ),
        )
        for entry in file.users or ()
        if entry.user
    )
    return msgspec.structs.replace(file, clusters=clusters, users=users)


def _absolute_command(plugin: Exec | None, folder: Path) -> Exec | None:
    """A bare name is found on PATH; anything with a separator is relative to the file."""
    if plugin is None or os.sep not in plugin.command:
        return plugin
    return msgspec.structs.replace(plugin, command=str(folder.absolute() / plugin.command))


def _select(files: Sequence[_File], wanted: str | None) -> Selection:
    contexts = {entry.name: entry.context for file in reversed(files) for entry in file.contexts or () if entry.context}
    clusters = {entry.name: entry.cluster for file in reversed(files) for entry in file.clusters or () if entry.cluster}
    users = {entry.name: entry.user for file in reversed(files) for entry in file.users or () if entry.user}
    name = wanted or next((file.current_context for file in files if file.current_context), "")
    if not name:
        raise ClusterFailure(
            "kubeconfig-no-context",
            "The kubeconfig has no current context and none was given",
            seen=f"contexts: {', '.join(sorted(contexts)) or 'none'}",
            advice="add --context NAME, or run 'kubectl config use-context NAME'",
        )
    context = _named("context", name, contexts)
    cluster = _named("cluster", context.cluster, clusters)
    user = _named("user", context.user, users) if context.user else User()
    if not cluster.server.startswith(("http://", "https://")):
        raise ClusterFailure(
            "kubeconfig-server",
            f"Cluster '{context.cluster}' of the kubeconfig has no server address",
            seen=f"server: {cluster.server!r}",
            advice="the server must be a URL, for example https://203.0.113.7:6443",
        )
    return Selection(name, context.namespace or "default", cluster, user)


_Entry = TypeVar("_Entry")


def _named(kind: str, name: str, entries: Mapping[str, _Entry]) -> _Entry:
    if name in entries:
        return entries[name]
    near = get_close_matches(name, entries, n=1)
    raise ClusterFailure(
        f"kubeconfig-{kind}",
        f"The kubeconfig has no {kind} '{name}'",
        seen=f"{kind}s: {', '.join(sorted(entries)) or 'none'}",
        advice=f"did you mean '{near[0]}'?" if near else "see 'kubectl config get-contexts'",
    )
