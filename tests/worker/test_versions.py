"""Workers of two versions of a program on one store."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, sys
from durable_ast import DurableBackend, SQLiteStore, make_durable, wait_for_event
from durable_ast.worker.worker import Worker

@make_durable(on_change="refuse")
async def job() -> str:
    before = "VERSION"
    await wait_for_event("go on")
    return before + ", finished by VERSION"

@make_durable
async def other() -> str:
    return "VERSION"

async def main(what: str) -> None:
    store = SQLiteStore("../durable.db")
    backend = DurableBackend(store)
    if what == "start":
        for number in range(3):
            await job.start(instance_id=f"job-{number}", orchestration_backend=backend)
        await Worker(store, [job]).run_until_idle()
        for number in range(3):
            await asyncio.wrap_future(backend.publish_event(f"job-{number}", "go on"))
        await other.start(instance_id="other", orchestration_backend=backend)
    else:
        await Worker(store, [job, other], concurrency=1).run_until_idle()
    for record in reversed(await store.records()):
        print(record.instance_id, record.status, record.recoveries)
    await store.close()

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def run(tmp_path):
    def run(version, what):
        folder = tmp_path / version
        folder.mkdir(exist_ok=True)
        (folder / "jobs.py").write_text(PROGRAM.replace("VERSION", version))
        command = [sys.executable, "jobs.py", what]
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split("\n")[:-1], done.stderr

    return run


def test_an_instance_of_another_version_is_left_to_workers_that_have_it(run):
    run("old", "start")
    shown, log = run("new", "work")
    assert shown == ["job-0 WAITING 0", "job-1 WAITING 0", "job-2 WAITING 0", "other SUCCESS 0"]
    assert log.count("is left to workers that have its version") == 3
    assert '-    before = "old"' in log, "the log shows what was edited"
    shown, log = run("old", "work")
    assert shown == [*(f"job-{number} SUCCESS 0" for number in range(3)), "other SUCCESS 0"]
    assert not log
