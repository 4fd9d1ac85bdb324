"""Each example runs alone, and does what it says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.survive.outcome import Outcome

ROOT = Path(__file__).parents[2]


def run(folder: Path, module: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, "-m", module, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_quickstart_goes_on_in_a_new_process(tmp_path: Path) -> None:
    first = run(tmp_path, "examples.quickstart")
    assert first.stdout.splitlines() == [
        "mail to Ada: welcome",
        "mail to Ada: first steps",
        "mail to Ada: what others do",
        "waits for 'confirmed': python -m examples.quickstart yes",
    ], first.stderr
    second = run(tmp_path, "examples.quickstart", "yes")
    assert second.stdout == "Ada said yes\n", second.stderr


@pytest.mark.parametrize("kills", [0, 6])
def test_the_billing_run_survives(tmp_path: Path, kills: int) -> None:
    ran = run(tmp_path, "examples.survive.driver", "--seed", "3", "--kills", str(kills), "--patience", "0.01")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[-1] == "survived"
    assert sum(line.startswith("kill ") for line in lines) <= kills
    assert any(line.startswith("kill ") for line in lines) == (kills > 0)
    assert any(line.startswith("plain") and "the same" in line for line in lines)
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"


def of(happened: list[str]) -> Outcome:
    outcome = Outcome(kills=1, result=1)
    outcome.compare(1, ["a", "b", "a"], happened)
    return outcome


def test_the_driver_notices_what_went_wrong() -> None:
    assert of(["a", "b", "a"]).holds
    assert of(["a", "b", "b", "a"]).repeated == ["b"]
    assert of(["a", "b", "b", "a"]).holds
    assert not of(["a", "b", "b", "b", "a"]).holds, "more often than there were kills"
    assert not of(["a", "a"]).holds, "a step was missed"
    assert not of(["a", "b", "a", "b"]).holds, "a step ran that should not have"
