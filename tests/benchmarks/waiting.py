"""Runs that wait for a signal: what each costs in memory, and waking them all, beside asyncio's tasks and events."""

import asyncio
import gc
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from durable_ast import SQLiteStore, Workflow

from .measure import Row, Table, times

COUNT = 10_000
_AT_ONCE = 100
"""How many are started at a time."""

wf = Workflow("waiting", db=":memory:")


@wf.workflow(id="run-{number}")
async def run(number: int) -> tuple[int, str]:
    return number, await wf.signal("go")


def measure() -> Table:
    """Plain tasks, runs of a process that works on all, and runs of one that works on those it has started."""
    yardstick = asyncio.run(_tasks())
    rows = [_row("asyncio tasks", yardstick, None)]
    for name, works in (("runs that a worker runs", True), ("runs without a worker", False)):
        rows.append(_row(name, asyncio.run(_runs(works)), yardstick))
    return Table(
        f"{COUNT:,} that wait",
        "bytes each, seconds of the processor to start and to wake all; beside waking tasks",
        rows,
    )


def _row(what: str, found: tuple[float, float, float], yardstick: tuple[float, float, float] | None) -> Row:
    memory, starting, waking = found
    beside = "" if yardstick is None else times(waking / yardstick[2])
    return Row(what, f"{memory:,.0f} B {starting:.2f} s {waking:.2f} s", beside)


def _resident() -> int:
    """The memory of this process, in bytes."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def _in_turns(start: Callable[[int], Awaitable[object]]) -> None:
    for first in range(0, COUNT, _AT_ONCE):
        await asyncio.gather(*(start(number) for number in range(first, first + _AT_ONCE)))


async def _tasks() -> tuple[float, float, float]:
    events = [asyncio.Event() for _ in range(COUNT)]
    before, start = _resident(), time.process_time()
    tasks = [asyncio.ensure_future(event.wait()) for event in events]
    await asyncio.sleep(0)
    starting, memory = time.process_time() - start, (_resident() - before) / COUNT
    start = time.process_time()
    for event in events:
        event.set()
    await asyncio.gather(*tasks)
    return memory, starting, time.process_time() - start


async def _runs(works_on_all: bool) -> tuple[float, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        application = Workflow("waiting", db=SQLiteStore(Path(folder) / "x.db"))
        function = application.workflow(run.program.fn, id="run-{number}")
        if works_on_all:
            await application.recover()
        before, start = _resident(), time.process_time()
        await _in_turns(lambda number: application.start(function, number))
        while await application.list(status=["ENQUEUED", "RUNNING"], limit=1):
            await asyncio.sleep(0.05)
        starting, memory = time.process_time() - start, (_resident() - before) / COUNT
        start = time.process_time()
        await _in_turns(lambda number: application.complete(f"run-{number}", "go", "!"))
        await asyncio.gather(*(application.handle(f"run-{number}").result() for number in range(COUNT)))
        waking = time.process_time() - start
        await application.close()
    return memory, starting, waking
