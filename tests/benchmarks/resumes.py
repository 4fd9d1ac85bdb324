"""How long it takes to go on, and what is written on the way."""

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from durable_ast import DurableBackend, PauseForEventException, SQLiteStore, make_durable, wait_for_event

from .awaits import step
from .measure import Row, Table, fastest, times


@make_durable
async def long(steps: int) -> int:
    """Many steps, then a pause."""
    total = 0
    for number in range(steps):
        total += await step(number)
    await wait_for_event("go on")
    return total


@make_durable
async def carry(size: int, steps: int) -> int:
    """Holds a large value through many steps."""
    held = [os.urandom(1000) for _ in range(size // 1000)]
    for number in range(steps):
        await step(number)
    return len(held)


def resumes() -> Table:
    """A resume does not depend on how much came before it."""
    rows = []
    first = 0.0
    for steps in (10, 10_000):
        with tempfile.TemporaryDirectory() as folder:
            seconds = _resume(Path(folder) / "x.db", steps)
        first = first or seconds
        rows.append(Row(f"after {steps:,} steps", f"{seconds * 1e3:,.1f} ms", times(seconds / first)))
    return Table("Going on in another process's place", "open the file, load, restore, end; beside the first", rows)


def _resume(file: Path, steps: int) -> float:
    async def begin() -> None:
        backend = DurableBackend(SQLiteStore(file, synchronous="NORMAL"))
        try:
            await long(steps, orchestration_backend=backend, instance_id="it")
        except PauseForEventException:
            await asyncio.wrap_future(backend.publish_event("it", "go on"))
        await backend.store.close()

    async def go_on() -> float:
        start = time.perf_counter()
        store = SQLiteStore(file)
        await long(steps, orchestration_backend=DurableBackend(store), instance_id="it")
        seconds = time.perf_counter() - start
        await store.close()
        return seconds

    asyncio.run(begin())
    return asyncio.run(go_on())


def carrying() -> Table:
    """What is written grows with what changes, not with what is held."""
    size, steps = 1_000_000, 1_000
    with tempfile.TemporaryDirectory() as folder:
        before = _written()
        backend = DurableBackend(SQLiteStore(Path(folder) / "x.db", synchronous="NORMAL"))
        asyncio.run(carry(size, steps, orchestration_backend=backend, instance_id="it"))
        written = _written() - before
    row = Row(f"{size / 1e6:.0f} MB through {steps:,} steps", f"{written / 1e6:,.0f} MB written", times(written / size))
    return Table("Carrying a large list", "beside its size", [row])


def _written() -> int:
    """Bytes that this process has written so far, to whatever."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["wchar"])


def _of_children() -> float:
    """Processor time of the processes that have ended, in seconds."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def imports() -> Table:
    """What `import durable_ast` costs in a fresh process, when it is compiled already."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPYCACHEPREFIX": folder}
        environment.pop("PYTHONDONTWRITEBYTECODE", None)

        def start(statement: str) -> float:
            command = [sys.executable, "-c", statement]
            return fastest(lambda: subprocess.run(command, check=True, env=environment), 10, _of_children)

        bare, asynchronous, ours = start("pass"), start("import asyncio"), start("import durable_ast")
    return Table(
        "import durable_ast",
        "on top of Python's own start",
        [
            Row("asyncio", f"{(asynchronous - bare) * 1e3:,.0f} ms"),
            Row("durable_ast, with asyncio", f"{(ours - bare) * 1e3:,.0f} ms"),
        ],
    )
