"""The page on the language names a test for each case; each of them is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CASES = re.findall(r"`(\w+/\w+)\.(test_\w+)` \|$", (ROOT / "docs/language.md").read_text(), re.MULTILINE)


def test_there_are_cases():
    assert len(CASES) >= 95


@pytest.mark.parametrize(("file", "test"), CASES)
def test_the_test_of_a_case_exists(file, test):
    text = (ROOT / "tests" / f"{file}.py").read_text()
    assert re.search(rf"^(async )?def {test}\(", text, re.MULTILINE)
