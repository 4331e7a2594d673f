"""What the containers of one pod share: network, host name, inter-process communication, and files."""

import contextlib
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from kdev.sandbox.dns import resolv_conf
from kdev.sandbox.interface import Object
from kdev.sandbox.mesh.shape import STATUS_ANNOTATION
from kdev.sandbox.namespaces import Namespace
from kdev.sandbox.network import Network, PodLink
from kdev.sandbox.plans import Bind, Files, Plan
from kdev.sandbox.processes import Process, launch
from kdev.sandbox.syscalls import Clone
from kdev.sandbox.toolbox import PYTHON, PYTHON_ENVIRONMENT, toolbox
from kdev.sandbox.volume_files import write_files

VolumeFiles = Callable[[str, Object], dict[str, bytes]]

_PROVIDED = ("configMap", "secret", "downwardAPI", "projected")
"""Kinds of volumes that the API server's objects fill; containers may not write to them."""


class UnknownVolume(ValueError):  # noqa: N818 - reported as CreateContainerConfigError
    """A container mounts what does not exist."""


class PodSandbox:
    """A pod's namespaces and files; its containers come and go in it.

    Attributes:
        pod: The pod, as admitted.
        link: Its network.
        pause: The first process of the process namespace that all containers share; None when each has its own.

    Raises:
        KeyError: What a volume refers to does not exist.
        NoAddressLeft: The pod network is full.
    """

    def __init__(self, pod: Object, network: Network, directory: Path, volume_files: VolumeFiles) -> None:
        self.pod = pod
        self.pause: Process | None = None
        self._network = network
        self._volume_files = volume_files
        self._directory: Path = directory / pod["metadata"]["uid"]
        self._write_volumes()
        self.link: PodLink = network.attach()
        self._uts = Namespace.create(Clone.NEWUTS)
        self._ipc = Namespace.create(Clone.NEWIPC)
        with self._uts.entered():
            socket.sethostname(pod["metadata"]["name"][:63])
        self._write_files()

    @property
    def ip(self) -> str:
        """The pod's address."""
        return str(self.link.address)

    @property
    def is_meshed(self) -> bool:
        """Whether the mesh's injector gave it a sidecar."""
        return STATUS_ANNOTATION in (self.pod["metadata"].get("annotations") or {})

    def namespaces(self) -> tuple[tuple[Clone, int], ...]:
        """What every process of the pod enters."""
        return tuple((n.kind, n.descriptor) for n in (self.link.namespace, self._uts, self._ipc))

    def binds(self, container: Object) -> tuple[Bind, ...]:
        """The files laid over the host's tree for a container.

        Raises:
            UnknownVolume: It mounts a volume that the pod does not have.
        """
        own = (Bind(str(self._directory / name), f"/etc/{name}", "file") for name in ("resolv.conf", "hosts"))
        mounted = (self._bind(mount) for mount in container.get("volumeMounts", ()))
        return (*toolbox(), *own, *mounted)

    def volume(self, name: str) -> Path:
        """The directory behind a volume."""
        return self._directory / "volumes" / name

    def look_up(self, volume: Object) -> dict[str, bytes]:
        """The files that a volume of the pod would have now.

        Raises:
            KeyError: What it refers to does not exist.
        """
        return self._volume_files(self.pod["metadata"]["uid"], volume)

    def refresh_volumes(self) -> None:
        """Bring the files of volumes up to date; what is not there any more stays as it was."""
        for volume, kind in self._provided():
            with contextlib.suppress(KeyError):
                self._write_files_of(volume, kind, self.look_up(volume))

    async def share_processes(self) -> None:
        """Start the first process of a process namespace for all containers; it collects their orphans."""
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            plan = Plan(
                arguments=(*PYTHON, "-m", "kdev.sandbox.reaper"),
                environment=PYTHON_ENVIRONMENT,
                enter=self.namespaces(),
                files=Files(toolbox()),
            )
            self.pause = await launch(plan, stdin=null, stdout=null, stderr=null)
        finally:
            os.close(null)

    async def close(self) -> None:
        """End what is left, give the network back and remove the files."""
        if self.pause is not None:
            await self.pause.end(0)
        self._network.detach(self.link)
        self._uts.close()
        self._ipc.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _bind(self, mount: Object) -> Bind:
        volume = next(each for each in self.pod["spec"]["volumes"] if each["name"] == mount["name"])
        source = Path(volume["hostPath"]["path"]) if "hostPath" in volume else self.volume(mount["name"])
        source /= str(mount.get("subPath", ""))
        if not source.exists():
            raise UnknownVolume(f'volume "{mount["name"]}": {source} does not exist')
        read_only = bool(mount.get("readOnly")) or any(kind in volume for kind in _PROVIDED)
        return Bind(str(source), mount["mountPath"], "directory" if source.is_dir() else "file", read_only)

    def _write_files(self) -> None:
        metadata = self.pod["metadata"]
        (self._directory / "resolv.conf").write_text(resolv_conf(metadata["namespace"]), encoding="utf-8")
        hosts = f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{self.ip}\t{metadata['name']}\n"
        (self._directory / "hosts").write_text(hosts, encoding="utf-8")

    def _provided(self) -> Iterator[tuple[Object, str]]:
        """The volumes that objects fill, each with its kind."""
        for volume in self.pod["spec"].get("volumes", ()):
            for kind in _PROVIDED:
                if kind in volume:
                    yield volume, kind

    def _write_volumes(self) -> None:
        """Before anything else is made, since a volume's source may be missing."""
        provided = [(volume, kind, self.look_up(volume)) for volume, kind in self._provided()]
        self._directory.mkdir(mode=0o711, parents=True)
        for each in provided:
            self._write_files_of(*each)
        for volume in self.pod["spec"].get("volumes", ()):
            if "emptyDir" in volume:
                self.volume(volume["name"]).mkdir(parents=True)
                self.volume(volume["name"]).chmod(0o777)

    def _write_files_of(self, volume: Object, kind: str, files: dict[str, bytes]) -> None:
        write_files(self.volume(volume["name"]), files, volume[kind].get("defaultMode", 0o644))
