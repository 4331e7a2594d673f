"""Links between the repository's Markdown files."""

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]
_LINK = re.compile(r"\[[^\]\n]*\]\(([^)\s]+)\)")
_FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)


def test_relative_links_lead_somewhere() -> None:
    """Each relative link names a file or folder of the repository, and each fragment a heading of it."""
    pages = _pages()
    assert len(pages) > 20
    assert [
        f"{page.relative_to(ROOT)}: {link}" for page in pages for link in _links(page) if not _leads(page, link)
    ] == []


def _pages() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).exists()]


def _links(page: Path) -> list[str]:
    found: list[str] = _LINK.findall(_FENCED.sub("", page.read_text(encoding="utf-8")))
    return [link for link in found if "://" not in link and not link.startswith("mailto:")]


def _leads(page: Path, link: str) -> bool:
    path, _, fragment = link.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists() or not target.is_relative_to(ROOT):
        return False
    return not fragment or fragment in map(_anchor, _HEADING.findall(target.read_text(encoding="utf-8")))


def _anchor(heading: str) -> str:
    """A heading's name as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
