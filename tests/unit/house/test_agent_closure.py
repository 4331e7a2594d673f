"""What the agent's process imports is what its image installs."""

import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parents[3]
_LIST = """
import sys
before = set(sys.modules)
import kdev.agent.__main__
print(*sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_agent_imports_only_its_dependency_group() -> None:
    """Every third-party package that the agent loads stands in the group ``agent``, or is needed by one that does."""
    listed = subprocess.run([sys.executable, "-c", _LIST], check=True, capture_output=True, text=True).stdout.split()
    distributions = packages_distributions()
    third_party = {distributions[name][0].lower().replace("_", "-") for name in listed if name in distributions} - {
        "kdev"
    }
    group = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["agent"]
    needed_by_them = {"cffi", "pycparser", "typing-extensions"}  # the last only where another package brought it
    allowed = {requirement.partition(">")[0].lower() for requirement in group} | needed_by_them
    assert third_party <= allowed
