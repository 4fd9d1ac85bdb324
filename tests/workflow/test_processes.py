"""Queues and schedules whose limits hold for all processes together, also when one is killed."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from durable_ast import Status, Workflow

PROGRAM = """
    import asyncio, os, sys
    from durable_ast import Workflow

    wf = Workflow("shop", db="shop.db")
    jobs = wf.queue("jobs", concurrency=3, per_key=1)
    slow = wf.queue("slow", rate=(2, 3600))

    def note(*words):
        with open("log", "a") as file:
            print(*words, file=file)

    @wf.task
    async def work(name):
        note("begin", name)
        await asyncio.sleep(0.1)
        note("end", name)

    @wf.workflow(id="job-{name}")
    async def job(name):
        await work(name)

    @wf.schedule("* * * * *", overlap="allow")
    async def tick(time):
        note("tick", time.isoformat())

    async def main():
        async with wf:
            print("ready", flush=True)
            await asyncio.sleep(100)

"""


class Fleet:
    """Processes that work on one store."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "program.py").write_text(textwrap.dedent(PROGRAM))
        (folder / "log").touch()
        self.processes = []

    def begin(self, *command):
        process = subprocess.Popen(
            command or [sys.executable, "-c", "import asyncio, program; asyncio.run(program.main())"],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self.processes.append(process)
        assert process.stdout.readline()
        return process

    def kill(self, process):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        self.processes.remove(process)

    def end(self):
        for process in list(self.processes):
            self.kill(process)

    def log(self):
        return [line.split() for line in (self.folder / "log").read_text().splitlines()]


@pytest.fixture
def fleet(tmp_path):
    made = Fleet(tmp_path)
    yield made
    made.end()


QUEUE = """
    import asyncio, sys
    from program import jobs, slow, job, wf

    async def main():
        for number in range(12):
            await jobs.start(job, f"{'ab'[number % 2]}{number}", key="ab"[number % 2])
        for number in range(5):
            await slow.start(job, f"slow{number}")
        await jobs.stop()
        await slow.stop()
        await wf.close(grace=60)  # a step that is cut off would be run again, and seen twice

    asyncio.run(main())
"""


async def ended(wf, count):
    async with asyncio.timeout(90):
        while len(await wf.list(prefix="job-", status=Status.SUCCESS)) < count:
            await asyncio.sleep(0.1)


def queue(fleet):
    (fleet.folder / "fill.py").write_text(textwrap.dedent(QUEUE))
    subprocess.run([sys.executable, "fill.py"], cwd=fleet.folder, check=True, timeout=60)


def check(fleet):
    """At no time were there more at work than the limits allow, and each ran to its end once."""
    at_work = {"a": set(), "b": set()}
    for what, name in fleet.log():
        if what in ("begin", "end") and not name.startswith("slow"):
            (at_work[name[0]].add if what == "begin" else at_work[name[0]].remove)(name)
            assert len(at_work[name[0]]) <= 1
    ends = [name for what, name in fleet.log() if what == "end" and not name.startswith("slow")]
    assert len(ends) == len(set(ends)) == 12


async def test_the_limits_of_a_queue_hold_for_all_processes(fleet):
    for _ in range(3):
        fleet.begin()
    queue(fleet)
    wf = Workflow("shop", db=str(fleet.folder / "shop.db"))
    await ended(wf, 14)
    await asyncio.sleep(0.5)
    await wf.close()
    check(fleet)
    slow = [name for what, name in fleet.log() if what == "end" and name.startswith("slow")]
    assert len(slow) == len(set(slow)) == 2, "two an hour"


async def test_a_queue_goes_on_when_the_process_that_decides_is_killed(fleet):
    first = fleet.begin()
    fleet.begin()
    queue(fleet)
    while sum(entry[0] == "end" for entry in fleet.log()) < 3:
        await asyncio.sleep(0.01)
    fleet.kill(first)
    wf = Workflow("shop", db=str(fleet.folder / "shop.db"))
    await ended(wf, 14)
    await wf.close()
    assert len({name for what, name in fleet.log() if what == "end"}) == 14


async def test_workers_of_the_command_line_mind_queues_and_schedules(fleet):
    pytest.importorskip("typer")
    queue(fleet)
    wf = Workflow("shop", db=str(fleet.folder / "shop.db"))
    await wf.instances.save("schedule program:tick * * * * * UTC", {"passed": "2024-01-01T00:00:00+00:00"})
    for _ in range(2):
        fleet.begin(sys.executable, "-m", "durable_ast.cli", "worker", "program", "--db", "shop.db")
    await ended(wf, 14)
    async with asyncio.timeout(60):
        while not any(entry[0] == "tick" for entry in fleet.log()):
            await asyncio.sleep(0.1)
    await wf.close()
    check(fleet)


async def test_a_schedule_fires_once_for_all_processes(fleet):
    wf = Workflow("shop", db=str(fleet.folder / "shop.db"))
    await wf.instances.save("schedule program:tick * * * * * UTC", {"passed": "2024-01-01T00:00:00+00:00"})
    for _ in range(4):
        fleet.begin()
    deadline = time.monotonic() + 60
    while not any(entry[0] == "tick" for entry in fleet.log()) and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    await asyncio.sleep(1.0)
    await wf.close()
    ticks = [moment for what, moment in fleet.log() if what == "tick"]
    assert ticks
    assert len(ticks) == len(set(ticks)), "each time once"
