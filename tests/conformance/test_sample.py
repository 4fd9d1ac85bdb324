"""A sample of the measurements; `python -m tests.conformance` takes all."""

import subprocess
import sys
from pathlib import Path

import pytest

from .corpus import compile_files, standard_library

ROOT = Path(__file__).parents[2]


SAMPLE = [
    ("stmt", "test_raise"),
    ("expr", "test_unary"),
    ("expr", "test_baseexception"),
    ("stmt", "test_super"),
    ("stmt", "test_copyreg"),
    ("expr", "test_decorators"),
]


@pytest.mark.parametrize(("mode", "module"), SAMPLE)
def test_tests_of_cpython_are_the_same_from_every_checkpoint(mode, module):
    command = [sys.executable, "-m", "tests.conformance", "cpython", "--mode", mode, module]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 tests kept" not in done.stdout


@pytest.mark.parametrize("package", ["asyncio", "contextlib.py"])
def test_the_standard_library_compiles(package):
    path = standard_library() / package
    report = compile_files(sorted(path.rglob("*.py")) if path.is_dir() else [path])
    assert report.compiled > 10
    assert not report.refused + report.faults
