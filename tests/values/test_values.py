"""Each awkward value is there after the death of its process: saved, or made again by its code; and so
are the exceptions that were being handled."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from .cases import CASES
from .flights import FLIGHTS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """What became of each value, and how often it was made."""
    folder = tmp_path_factory.mktemp("values")
    for command, code in (("start", -signal.SIGKILL), ("resume", 0)):
        done = subprocess.run(
            [sys.executable, "-m", "tests.values.victim", command],
            cwd=ROOT,
            env={**os.environ, "VALUES": str(folder), "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == code, done.stderr
    made = (folder / "made").read_text().split()
    return json.loads((folder / "results.json").read_text()), made


@pytest.mark.parametrize("name", CASES)
def test_a_value_survives(outcome, name):
    results, made = outcome
    if "ModuleNotFoundError" in results[name]:
        pytest.skip("its package is not installed")
    assert results[name] == "checked", results[name]
    assert made.count(name) == (1 if CASES[name].is_saved else 2)


@pytest.mark.parametrize("name", FLIGHTS)
async def test_an_exception_in_flight_survives(outcome, name):
    async def pause():
        await asyncio.sleep(0)

    expected = await FLIGHTS[name](pause)
    assert outcome[0][name] == json.loads(json.dumps(expected))
