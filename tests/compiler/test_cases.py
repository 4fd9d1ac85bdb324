"""Cases anyone can read: a function, its blocks, and what it is compiled to.

Each file in ``cases/`` holds some, in this form::

    [case a name]
    async def function(): ...
    [explain]
    what `explain(function, code=True)` prints

``UPDATE_CASES=1 python -m pytest tests/compiler/test_cases.py`` writes what is printed now; look at
the difference before you keep it.
"""

import contextlib
import importlib.util
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from durable_ast import explain

FOLDER = Path(__file__).parent / "cases"
_CASE = re.compile(r"^\[case ([^\n]+)\]\n(.*?)^\[explain\]\n(.*?)(?=^\[case |\Z)", re.M | re.S)


@dataclass
class Case:
    """A function and what is expected of it."""

    file: Path
    name: str
    source: str
    expected: str


CASES = [Case(file, *found) for file in sorted(FOLDER.glob("*.txt")) for found in _CASE.findall(file.read_text())]


def explained(case: Case, folder: Path) -> str:
    """What `explain` prints for the function of a case, with nothing in it that depends on the place."""
    file = folder / "case.py"
    file.write_text(case.source)
    spec = importlib.util.spec_from_file_location("case", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        explain(module.function, code=True)
    lines = printed.getvalue().replace(f"{folder}/", "").splitlines()
    return "\n".join(line.rstrip() for line in lines) + "\n"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.file.stem}: {case.name}")
def test_case(case, tmp_path):
    found = explained(case, tmp_path)
    if os.environ.get("UPDATE_CASES"):
        before = f"{case.source}[explain]\n{case.expected}"
        text = case.file.read_text()
        assert before in text
        last = case is [each for each in CASES if each.file == case.file][-1]
        case.file.write_text(text.replace(before, f"{case.source}[explain]\n{found}" + ("" if last else "\n")))
    else:
        assert found.strip("\n") == case.expected.strip("\n")


def test_there_are_cases():
    assert len(CASES) >= 12
    assert len({(case.file, case.name) for case in CASES}) == len(CASES)
