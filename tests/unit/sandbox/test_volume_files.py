"""The files of a volume, and their replacement."""

from pathlib import Path

from kdev.sandbox.volume_files import write_files


def _shown(directory: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and not path.relative_to(directory).parts[0].startswith("..")
    }


def test_files_appear_at_their_paths_with_their_mode(tmp_path: Path) -> None:
    """Whoever follows the links finds the file, as in a volume that a kubelet wrote."""
    write_files(tmp_path / "v", {"a": b"1", "b": b"2"}, 0o600)
    assert _shown(tmp_path / "v") == {"a": b"1", "b": b"2"}
    assert (tmp_path / "v" / "a").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "v" / "a").readlink() == Path("..data/a")


def test_new_files_take_the_place_of_all_old_ones(tmp_path: Path) -> None:
    """What is gone is gone, what changed is new, and one set of files is left on disk."""
    write_files(tmp_path, {"a": b"1", "x/y": b"2"}, 0o644)
    write_files(tmp_path, {"a": b"3", "c": b"4"}, 0o644)
    assert _shown(tmp_path) == {"a": b"3", "c": b"4"}
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith("..")) == [
        (tmp_path / "..data").readlink().name,
        "..data",
    ]


def test_an_open_file_keeps_what_it_was(tmp_path: Path) -> None:
    """A reader in the middle of the old file reads it to its end."""
    write_files(tmp_path, {"a": b"old"}, 0o644)
    with (tmp_path / "a").open("rb") as reader:
        write_files(tmp_path, {"a": b"new"}, 0o644)
        assert reader.read() == b"old"


def test_the_same_files_are_not_written_again(tmp_path: Path) -> None:
    """Nothing moves when nothing has changed."""
    write_files(tmp_path, {"a": b"1"}, 0o644)
    before = (tmp_path / "..data").readlink()
    write_files(tmp_path, {"a": b"1"}, 0o644)
    assert (tmp_path / "..data").readlink() == before


def test_a_volume_without_files_is_an_empty_directory(tmp_path: Path) -> None:
    """An optional source that is not there leaves a directory to mount."""
    write_files(tmp_path / "v", {}, 0o644)
    assert _shown(tmp_path / "v") == {}
