"""An account of what tests could leave behind on the machine.

``python -m tests.leftovers FILE`` writes it down before the tests; ``tests/last`` compares after them, as a run of its
own, because what a whole run shares is given back only at the run's end.
"""

import json
import re
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from shutil import which
from typing import Self

_OURS = re.compile(r"kdev|envoy|nghttpd|h2load|nginx|wrk")


@dataclass(frozen=True)
class Leftovers:
    """Names of processes, namespaces, links, nft tables and mounts that look like a test's."""

    processes: frozenset[str]
    namespaces: frozenset[str]
    links: frozenset[str]
    tables: frozenset[str]
    mounts: frozenset[str]

    @classmethod
    def now(cls) -> Self:
        """Look at the machine."""
        return cls(
            processes=frozenset(_processes()),
            namespaces=frozenset(p.name for p in Path("/run/netns").glob("*")),
            links=frozenset(p.name for p in Path("/sys/class/net").iterdir()),
            tables=frozenset(_tables()),
            mounts=frozenset(line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()),
        )

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read an account that was written down."""
        return cls(**{kind: frozenset(names) for kind, names in json.loads(file.read_text()).items()})

    def write(self, file: Path) -> None:
        """Write it down."""
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps({f.name: sorted(getattr(self, f.name)) for f in fields(self)}))

    def since(self, earlier: Self) -> dict[str, list[str]]:
        """What is here now and was not there before, by kind."""
        new = {f.name: sorted(getattr(self, f.name) - getattr(earlier, f.name)) for f in fields(self)}
        return {kind: names for kind, names in new.items() if names}


def settled_since(earlier: Leftovers, *, seconds: float = 10.0) -> dict[str, list[str]]:
    """As ``since``, giving what is just ending the time to end: the kernel tears namespaces down by itself."""
    deadline = time.monotonic() + seconds
    while (left := Leftovers.now().since(earlier)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _processes() -> list[str]:
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        except OSError:
            continue
        if _OURS.search(command) and "pytest" not in command and "make" not in command.split()[:1]:
            found.append(f"{entry.name} {command[:120]}")
    return found


def _tables() -> list[str]:
    if which("nft") is None:
        return []
    listing = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False)
    return listing.stdout.splitlines()


if __name__ == "__main__":
    Leftovers.now().write(Path(sys.argv[1]))
