"""What the containers of one pod share: network, host name, inter-process communication, and files."""

import os
import shutil
import socket
from collections.abc import Callable
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

VolumeFiles = Callable[[str, Object], dict[str, bytes]]

_PROVIDED = ("configMap", "secret", "projected")


class UnknownVolume(ValueError):  # noqa: N818 - reported as CreateContainerConfigError
    """A container mounts something that the pod has no volume for, or of a kind that is not supported."""


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
        self._directory: Path = directory / pod["metadata"]["uid"]
        self._write_volumes(volume_files)
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
        source: Path = self.volume(mount["name"])
        if not source.is_dir():
            raise UnknownVolume(f'volume "{mount["name"]}" is not there or of a kind the sandbox does not have')
        source /= str(mount.get("subPath", ""))
        return Bind(str(source), mount["mountPath"], "directory" if source.is_dir() else "file")

    def _write_files(self) -> None:
        metadata = self.pod["metadata"]
        (self._directory / "resolv.conf").write_text(resolv_conf(metadata["namespace"]), encoding="utf-8")
        hosts = f"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n{self.ip}\t{metadata['name']}\n"
        (self._directory / "hosts").write_text(hosts, encoding="utf-8")

    def _write_volumes(self, volume_files: VolumeFiles) -> None:
        """Before anything else is made, since a volume's source may be missing."""
        provided = {
            volume["name"]: volume_files(self.pod["metadata"]["uid"], volume)
            for volume in self.pod["spec"].get("volumes", ())
            if any(kind in volume for kind in _PROVIDED)
        }
        self._directory.mkdir(mode=0o711, parents=True)
        for name, files in provided.items():
            _fill(self.volume(name), files)
        for volume in self.pod["spec"].get("volumes", ()):
            if "emptyDir" in volume:
                self.volume(volume["name"]).mkdir(parents=True)
                self.volume(volume["name"]).chmod(0o777)


def _fill(directory: Path, files: dict[str, bytes]) -> None:
    directory.mkdir(parents=True)
    for name, content in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(0o644)
