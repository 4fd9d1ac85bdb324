"""The types of the public names, under each type checker that is installed."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
RIGHT, WRONG = HERE / "right.py", HERE / "wrong.py"


def mypy() -> set[tuple[str, int]]:
    """The lines that mypy refuses, by file."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--follow-imports=silent", RIGHT, WRONG]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = re.findall(r"^(.+?):(\d+): error:", ran.stdout, re.MULTILINE)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    return {(Path(file).name, int(line)) for file, line in found}


def pyright() -> set[tuple[str, int]]:
    """The lines that basedpyright refuses, by file."""
    command = [sys.executable, "-m", "basedpyright", "--outputjson", "--level=error", "-p", HERE / "pyrightconfig.json"]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    report = json.loads(ran.stdout)
    return {(Path(item["file"]).name, item["range"]["start"]["line"] + 1) for item in report["generalDiagnostics"]}


CHECKERS = {"mypy": mypy, "basedpyright": pyright}


@pytest.mark.parametrize("name", CHECKERS)
def test_right_uses_are_accepted_and_wrong_ones_refused(name: str) -> None:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    check: Callable[[], set[tuple[str, int]]] = CHECKERS[name]
    wrong = {
        (WRONG.name, number)
        for number, line in enumerate(WRONG.read_text().splitlines(), 1)
        if line.endswith("# wrong")
    }
    assert len(wrong) > 10
    assert check() == wrong
