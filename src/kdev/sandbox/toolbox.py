"""Where containers find Python, kdev's own programs and Envoy, whatever directory they are installed in.

An installation below a home directory that only its owner may enter is of no use to a container's other users. So
each container sees these directories bound below /run/kdev, whose path everybody may walk.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from kdev.sandbox.plans import Bind

_TOOLBOX = "/run/kdev"
ENVOY = f"{_TOOLBOX}/envoy"

_INTERPRETER = Path(os.path.realpath(sys.executable))
_BASE = Path(os.path.realpath(sys.base_prefix))
PYTHON = (f"{_TOOLBOX}/python/{os.path.relpath(_INTERPRETER, _BASE)}", "-S", "-s")
"""The interpreter without its site directories, which start-up would spend most of its time on."""

PYTHON_ENVIRONMENT = MappingProxyType({"PYTHONPATH": f"{_TOOLBOX}/source:{_TOOLBOX}/packages", "PYTHONUNBUFFERED": "1"})


def toolbox() -> tuple[Bind, ...]:
    """The binds that make up the toolbox.

    Raises:
        ModuleNotFoundError: A package of the extra ``sandbox`` is not installed.
    """
    return (
        Bind(str(_BASE), f"{_TOOLBOX}/python", "directory"),
        Bind(str(Path(__file__).parents[2]), f"{_TOOLBOX}/source", "directory"),
        Bind(str(_package("h2").parent), f"{_TOOLBOX}/packages", "directory"),
        Bind(str(_package("envoy") / "_bin" / "envoy"), ENVOY, "file"),
    )


def _package(name: str) -> Path:
    found = find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f'package "{name}" is not installed', name=name)
    return Path(found.origin).parent
