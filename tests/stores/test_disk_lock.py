"""What becomes of the lock of a file when whoever has it ends."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]

HELD_TO_THE_END = """
import asyncio, sys, threading
from pathlib import Path
from durable_ast import DiskStateStore, SQLiteStore
from durable_ast.state.schema import Record
from durable_ast.stores.disk_lock import FileLock

class Cycle:
    def __init__(self, name):
        self.lock, self.me = FileLock(Path(name)), self

def hold(kept=FileLock(Path("defaults.lock"))): ...

kept = FileLock(Path("module.lock"))
sys.kept = Cycle("one.lock")
Cycle("two.lock")
stores = [DiskStateStore("folder"), SQLiteStore("durable.db")]
for store in stores:
    asyncio.run(store.acquire(Record("one", "tests:program")))
try:
    FileLock()  # interrupted before it was made
except TypeError:
    pass
"""


def test_a_process_that_ends_with_locks_says_nothing_and_lets_go_of_them(tmp_path):

    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for _ in range(2):  # the second has everything that the first had
        done = subprocess.run(
            [sys.executable, "-c", HELD_TO_THE_END], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert (done.returncode, done.stderr) == (0, "")
