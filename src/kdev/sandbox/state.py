"""Where a sandbox keeps its files, and whether it runs.

A sandbox runs exactly as long as its process holds the lock on a file of its directory; the kernel drops the lock
when the process ends in any way, so nothing that a crash leaves behind can be taken for a running sandbox.
"""

import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdev.errors import LocalFailure, UsageFailure

_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
DEFAULT_NAME = "default"


@dataclass(frozen=True, slots=True)
class State:
    """The directory of one sandbox.

    Attributes:
        name: The sandbox's.
        directory: Readable by its owner alone.
    """

    name: str
    directory: Path

    @classmethod
    def of(cls, name: str, environment: Mapping[str, str]) -> "State":
        """The directory that a sandbox of this name has, existing or not.

        Raises:
            UsageFailure: The name cannot be one.
        """
        if not _NAME.fullmatch(name):
            raise UsageFailure(
                "sandbox-name",
                f'"{name}" cannot be a sandbox\'s name',
                seen="names are up to 40 lower-case letters, digits and dashes, and begin and end without a dash",
                advice="choose another with --name or the variable KDEV_SANDBOX",
            )
        runtime = environment.get("XDG_RUNTIME_DIR")
        base = Path(runtime) / "kdev" if runtime else Path(tempfile.gettempdir()) / f"kdev-{os.geteuid()}"
        return cls(name, base / "sandboxes" / name)

    @property
    def lock_file(self) -> Path:
        """Held by the sandbox's process, whose number it contains."""
        return self.directory / "lock"

    @property
    def status_file(self) -> Path:
        """What runs, as JSON; renewed with every change."""
        return self.directory / "status.json"

    @property
    def log_file(self) -> Path:
        """What the sandbox's process had to say."""
        return self.directory / "sandbox.log"

    @property
    def api_directory(self) -> Path:
        """The API server's."""
        return self.directory / "api"

    def create(self) -> None:
        """Make the directory.

        Raises:
            LocalFailure: It cannot be made, somebody else owns it, or may look into it.
        """
        for path in (self.directory.parents[1], self.directory.parent, self.directory):
            try:
                path.mkdir(mode=0o700, exist_ok=True)
            except OSError as error:
                raise LocalFailure(
                    "sandbox-directory",
                    "The sandbox's directory cannot be made",
                    seen=str(error),
                    advice="set XDG_RUNTIME_DIR to a directory of yours that exists and has room",
                ) from error
            found = path.lstat()
            if found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise LocalFailure(
                    "sandbox-directory",
                    f"{path} must belong to you alone",
                    seen=f"owner {found.st_uid}, mode {found.st_mode & 0o777:o}",
                    advice=f"rm -r {path}, or set XDG_RUNTIME_DIR to a private directory",
                )

    def take_lock(self) -> int:
        """Become the sandbox's process; the lock lives as long as the descriptor.

        Raises:
            BlockingIOError: Another process is.
        """
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise
        os.ftruncate(descriptor, 0)
        os.write(descriptor, str(os.getpid()).encode())
        return descriptor

    def running_pid(self) -> int | None:
        """The sandbox's process; None when it does not run."""
        try:
            with self.lock_file.open(encoding="ascii") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                except BlockingIOError:
                    return int(file.read() or 0) or None
                return None
        except FileNotFoundError:
            return None

    def write_status(self, status: dict[str, Any]) -> None:
        """Replace the status file."""
        fresh = self.status_file.with_suffix(".new")
        fresh.write_text(json.dumps(status), encoding="utf-8")
        fresh.rename(self.status_file)

    def read_status(self) -> dict[str, Any]:
        """What the running sandbox said last.

        Raises:
            LocalFailure: It does not run.
        """
        if self.running_pid() is None:
            raise not_running(self.name)
        try:
            status: dict[str, Any] = json.loads(self.status_file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {"name": self.name, "kubeconfig": "", "pods": []}
        return status

    def remove(self) -> None:
        """Delete everything."""
        shutil.rmtree(self.directory, ignore_errors=True)


def not_running(name: str) -> LocalFailure:
    """What to say where a running sandbox is needed."""
    option = "" if name == DEFAULT_NAME else f" --name {name}"
    return LocalFailure(
        "sandbox-not-running", f'No sandbox "{name}" is running', advice=f"start it with 'kdev sandbox up{option}'"
    )
