"""Writing a volume's files so that a reader sees all the old ones or all the new ones, as a kubelet does.

After k8s.io/kubernetes/pkg/volume/util/atomic_writer.go: files stand in a directory with a time in its name, ``..data``
leads there, and what programs open leads through ``..data``. Replacing that one link replaces everything at once.
"""

import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

_DATA = "..data"


def write_files(directory: Path, files: Mapping[str, bytes], mode: int) -> None:
    """Make a volume's directory hold these files by relative path, and no others; nothing happens when it does.

    Args:
        directory: The volume's; made when missing.
        files: What it should hold.
        mode: Permissions of each file.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if _read(directory / _DATA) == dict(files):
        return
    fresh = directory / datetime.now(UTC).strftime("..%Y_%m_%d_%H_%M_%S.%f")
    for name, content in files.items():
        path = fresh / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode)
    fresh.mkdir(exist_ok=True)
    link = directory / f"{_DATA}_tmp"
    link.symlink_to(fresh.name)
    link.rename(directory / _DATA)
    _show(directory, {Path(name).parts[0] for name in files}, fresh.name)


def _read(data: Path) -> dict[str, bytes] | None:
    if not data.is_dir():
        return None
    return {str(path.relative_to(data)): path.read_bytes() for path in data.rglob("*") if path.is_file()}


def _show(directory: Path, names: set[str], current: str) -> None:
    """Link what programs open, and remove what was before."""
    for path in directory.iterdir():
        if path.name.startswith("..") and path.name not in {_DATA, current}:
            shutil.rmtree(path)
        elif not path.name.startswith("..") and path.name not in names:
            path.unlink()
    for name in names:
        if not (directory / name).is_symlink():
            (directory / name).symlink_to(Path(_DATA) / name)
