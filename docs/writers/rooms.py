"""The page about rooms: what each is for, in the order in which they may import one another."""

import tomllib
from importlib import import_module
from pathlib import Path

from docs.writers.markdown import described, table

_ROOT = Path(__file__).parents[2]


def page() -> str:
    """The page's text."""
    project = tomllib.loads((_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (layers,) = (one for one in project["tool"]["importlinter"]["contracts"] if one["type"] == "layers")
    rooms = [import_module(f"kdev.{name}") for name in layers["layers"]]
    rows = [
        (f"[{room.__name__.removeprefix('kdev.')}]({_link(room.__name__)})", described(room).partition("\n\n")[0])
        for room in rooms
    ]
    return (
        "# Rooms\n"
        "The parts of `src/kdev`. A room imports only from rooms below it; `make lint` holds that.\n\n"
        f"{table(('room', 'what for'), rows)}"
    )


def _link(module: str) -> str:
    path = Path("src", *module.split("."))
    return f"../../{path if (_ROOT / path).is_dir() else path.with_suffix('.py')}"
