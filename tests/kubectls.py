"""The two kubectls that the tests use; ``scripts/setup-kubectls`` brings them, here when nobody has before."""

import subprocess
from functools import cache
from pathlib import Path
from typing import Literal

_ROOT = Path(__file__).parents[1]


@cache
def kubectl(which: Literal["current", "debian"]) -> str:
    """The program's path: a current kubectl, which streams over WebSocket, or Debian's, which does over SPDY."""
    done = subprocess.run([_ROOT / "scripts" / "setup-kubectls"], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return str(_ROOT / ".cache" / "kubectl" / which)
