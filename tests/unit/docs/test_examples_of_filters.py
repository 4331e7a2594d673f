"""The examples of the page about filters."""

import shlex
from pathlib import Path

import pytest

from kdev.cli.entry import run
from tests import console_blocks

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "write-filters.md"
EXAMPLES = console_blocks.read(PAGE)


@pytest.mark.parametrize("shown", EXAMPLES, ids=[example.command for example in EXAMPLES])
def test_an_example_prints_what_the_page_says(shown: console_blocks.Shown, capsys: pytest.CaptureFixture[str]) -> None:
    """``kdev explain`` says of each example what is shown below it, from the first line on."""
    program, *arguments = shlex.split(shown.command)
    assert program == "kdev"
    run(arguments)
    printed = capsys.readouterr()
    output = printed.out + printed.err
    assert shown.missing(output) == [], output
    assert output.startswith(shown.lines[0].split("…")[0])
