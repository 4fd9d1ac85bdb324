"""Whatever the moment of a kill: the right answer, paid once, at most one unit repeated by each."""

import subprocess
import sys
import time
from pathlib import Path

from durable_ast import Workflow
from durable_ast.pydantic_ai import DurableAgent

from .scripted import scripted
from .victim import TURNS

ROOT = Path(__file__).parents[2]


async def test_killed_again_and_again(tmp_path):
    """The approval is given while no process runs."""
    log, database = tmp_path / "log", tmp_path / "agents.db"
    log.touch()
    judge = DurableAgent(scripted(), Workflow("judge", db=database), name="judge")
    kills, approved = 0, False
    while "result" not in log.read_text():
        before = log.read_text().count("\n")
        with subprocess.Popen(
            [sys.executable, "-m", "tests.agents.victim", str(database), str(log)], cwd=ROOT
        ) as process:
            while process.poll() is None:
                asked = bool(await judge.pending("it"))
                if (kills < 5 and log.read_text().count("\n") >= before + 2 + kills % 2) or (asked and not approved):
                    process.kill()
                    kills += 1
                    break
                time.sleep(0.005)
        if await judge.pending("it"):
            approved = await judge.approve("it", "pay")
    lines = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    assert lines[-1] == f"result {' '.join(map(str, range(TURNS)))} paid"
    assert approved and kills >= 4
    assert lines.count("pay") == 1
    units = {f"{kind} {turn}" for turn in range(TURNS) for kind in ("model", "work")}
    assert set(lines[:-1]) == units | {f"model {TURNS}", f"model {TURNS + 1}", "pay"}
    assert len(lines) - len(set(lines)) <= kills
