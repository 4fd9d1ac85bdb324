"""Coverage of a durable run is coverage of the user's text."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio
import sys
from durable_ast import DurableBackend, make_durable

async def step(value):
    return value

class Manager:
    async def __aenter__(self):
        return await step(self)
    async def __aexit__(self, *error):
        await step(None)

async def program(order):
    total = 0
    for item in order:
        if await step(item) > 2:
            total += await step(item)
        elif item > 100:
            total -= 1
    try:
        async with Manager():
            while await step(total) < 5:
                total += 1
        assert total, "never said"
        raise KeyError(total)
    except ValueError:
        total = -1
    except KeyError:
        await step("caught")
    finally:
        total *= 2
    match order:
        case [1, *_] if await step(False):
            total = 0
        case [_, second, *rest]:
            total += second
        case _:
            total = 1
    if total < 0:
        return None
    return [await step(x) for x in order if x]

function = make_durable(program) if "durably" in sys.argv else program
options = {"orchestration_backend": DurableBackend()} if "durably" in sys.argv else {}
asyncio.run(function([1, 2, 3], **options))
"""


def measured(folder: Path, *arguments: str) -> dict[str, list[int]]:
    (folder / "covered.py").write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}

    def coverage(*command: str) -> None:
        subprocess.run([sys.executable, "-m", "coverage", *command], cwd=folder, env=environment, check=True)

    coverage("run", "--branch", "--include", "covered.py", "covered.py", *arguments)
    coverage("json", "-q", "-o", "found.json")
    return json.loads((folder / "found.json").read_text())["files"]["covered.py"]


def test_lines_are_those_of_a_plain_run(tmp_path):
    plainly, durably = measured(tmp_path), measured(tmp_path, "durably")
    assert durably["missing_lines"] == plainly["missing_lines"] != []
    assert durably["executed_lines"] == plainly["executed_lines"]
    assert durably["missing_branches"] == plainly["missing_branches"]
    assert durably["executed_branches"] == plainly["executed_branches"]
