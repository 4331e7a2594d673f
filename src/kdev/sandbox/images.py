"""The images that exist in the sandbox: names for programs of this machine, since nothing can be pulled.

An image here is an entry point and a few variables. A name that is none of them is reported as a kubelet reports an
image that its registry does not have.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from kdev.sandbox.toolbox import ENVOY, PYTHON, PYTHON_ENVIRONMENT

HOST = "host"
BOOKSTORE = "kdev-bookstore"
SIDECAR = "proxyv2"
AGENT = "kdev-agent"


@dataclass(frozen=True, slots=True)
class Image:
    """What a container of this image runs when its spec says nothing else."""

    entrypoint: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


_IMAGES = {
    HOST: Image(),
    BOOKSTORE: Image((*PYTHON, "-m", "kdev.sandbox.programs.bookstore"), PYTHON_ENVIRONMENT),
    SIDECAR: Image((*PYTHON, "-m", "kdev.sandbox.programs.sidecar", ENVOY), PYTHON_ENVIRONMENT),
    AGENT: Image((sys.executable, "-m", "kdev.agent")),
}


def find_image(reference: str) -> Image | None:
    """The image of that name; registry, repository path, tag and digest do not matter here."""
    name = reference.rsplit("/", 1)[-1].split("@", 1)[0].split(":", 1)[0]
    return _IMAGES.get(name)
