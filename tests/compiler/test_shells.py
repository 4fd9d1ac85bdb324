"""Functions that were typed into IPython, a notebook or the REPL."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

CELLS = """
import asyncio, os
import durable_ast
from durable_ast import make_durable

@durable_ast.step
async def charge(amount):
    if amount == 3 and not os.path.exists("died"):
        open("died", "w").close()
        os._exit(9)
    print("charged", amount)
    return amount

@make_durable
async def bill(count):
    add = lambda amount: amount + 1
    async def once(number):
        return await charge(add(number))
    total = 0
    for number in range(count):
        total += await once(number)
    return total

print("total", {call})
"""


def typed(command, text, folder):
    """What a shell prints for what is typed into it."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "IPYTHONDIR": str(folder / "ipython"),
        "PYTHON_BASIC_REPL": "1",
        "TERM": "dumb",
    }
    done = subprocess.run(
        [sys.executable, *command], input=text, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def said(output):
    """The words of the program itself."""
    return [line[line.index(word) :] for line in output.splitlines() for word in ("charged", "total") if word in line]


def test_cells_of_ipython(tmp_path):
    pytest.importorskip("IPython")
    shell = ["-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit"]
    text = CELLS.format(call="await bill(4, instance_id='it')")
    assert said(typed(shell, text, tmp_path)) == ["charged 1", "charged 2"]
    assert said(typed(shell, text, tmp_path)) == ["charged 3", "charged 4", "total 10"]


def test_the_interactive_interpreter(tmp_path):
    text = CELLS.format(call="asyncio.run(bill(4, instance_id='it'))")
    first, second = (typed(["-i", "-q"], text, tmp_path) for _ in range(2))
    if sys.version_info >= (3, 13):
        assert said(first) == ["charged 1", "charged 2"]
        assert said(second) == ["charged 3", "charged 4", "total 10"]
    else:  # it forgets the text
        assert "NoSourceCodeException: <stdin>:1: bill: its source text cannot be found" in first
        assert "Define the function in a file or a notebook cell" in first
