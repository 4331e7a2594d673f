"""The generated pages of the reference."""

from collections import defaultdict
from pathlib import Path

import pytest

import kdev
from docs import generate
from docs.writers import failures, markdown


@pytest.mark.parametrize("name", generate.PAGES)
def test_committed_page_is_what_the_code_says(name: str) -> None:
    """A committed page is what the generator writes now."""
    committed = (generate.REFERENCE / name).read_text(encoding="utf-8")
    assert committed == generate.text(name), f"docs/reference/{name} is out of date: run 'make docs' and commit it"


def test_a_reference_has_one_exit_code() -> None:
    """A user who looks a reference up finds one exit code."""
    codes = defaultdict(set)
    for told in failures.collect(Path(kdev.__file__).parent):
        codes[told.reference].add(told.exit_code)
    assert len(codes) > 50
    assert {reference: found for reference, found in codes.items() if len(found) > 1} == {}


def test_references_are_kebab_case() -> None:
    """A reference can be searched for and written as part of an address."""
    references = {told.reference for told in failures.collect(Path(kdev.__file__).parent)}
    assert [one for one in references if not all(part.isalnum() and part.islower() for part in one.split("-"))] == []


def test_failures_are_read_from_source(tmp_path: Path) -> None:
    """Templates, choices and what is only passed on are told apart."""
    (tmp_path / "room.py").write_text(
        'raise TargetFailure("a" if x else "b", f"Pod {pod.name} " + "is gone", advice="look" if y else f"see {z}")\n'
        "raise AgentFailure(other.reference, other.cause, advice=other.advice)\n"
        'send(Refusal(reference="c", cause="No", seen="", advice=""))\n'
    )
    assert [(int(one.exit_code), one.reference, one.cause, one.advice) for one in failures.collect(tmp_path)] == [
        (4, "a", "Pod {name} is gone", "look or: see {z}"),
        (4, "b", "Pod {name} is gone", "look or: see {z}"),
        (5, "c", "No", ""),
    ]


def test_restructured_text_becomes_markdown() -> None:
    """Literals, blocks and simple tables are what docstrings use."""
    text = "Say ``x``:\n\n::\n\n    a = b\n\n=== ======\nkey value\n=== ======\nk   v | w\n=== ======"
    assert markdown.converted(text) == (
        "Say `x`:\n\n```\na = b\n```\n\n| key | value |\n| --- | --- |\n| k | v \\| w |"
    )
