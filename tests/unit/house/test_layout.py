"""The tree is the architecture: what stands at the root leads where it says."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
LINKED = ("proxy", "mesh_adapters", "layer", "agent", "policies")


@pytest.mark.parametrize("room", LINKED)
def test_root_link_leads_into_the_package(room: str) -> None:
    """Each of the five rooms in sight from the root is a relative link to the package's folder."""
    link = ROOT / room
    assert link.is_symlink()
    assert link.readlink() == Path("src/kdev") / room


def test_tests_are_a_real_folder() -> None:
    """The tests live at the root itself, not behind a link."""
    assert (ROOT / "tests").is_dir()
    assert not (ROOT / "tests").is_symlink()


def test_each_room_says_what_it_is_for() -> None:
    """Each room is a package whose docstring says what belongs there."""
    for room in (ROOT / "src/kdev").iterdir():
        if room.is_dir() and room.name != "__pycache__":
            assert (room / "__init__.py").read_text().startswith('"""'), room.name
