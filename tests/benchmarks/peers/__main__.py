"""Do the same work with every system that is installed, and print the README's table.

Each measurement runs in a fresh process with an empty folder, the systems in turn, so that whatever
else the machine does is shared by all; what is printed are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib
import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .postgres import drop_database_of
from .work import System, written

SYSTEMS = {
    "durable_ast, SQLite flushed": ("durable_ast_system", "Flushed", "durable_ast"),
    "durable_ast, SQLite": ("durable_ast_system", "Unflushed", "durable_ast"),
    "durable_ast, PostgreSQL": ("durable_ast_system", "OnPostgres", "psycopg"),
    "DBOS, SQLite flushed": ("dbos_system", "OnSQLite", "dbos"),
    "DBOS, PostgreSQL": ("dbos_system", "OnPostgres", "dbos"),
    "LangGraph, SQLite": ("langgraph_system", "OnSQLite", "langgraph"),
}
_PATIENCE = 60.0
"""Seconds for one measurement."""


@dataclass(frozen=True)
class Work:
    """A line of the table.

    Attributes:
        name: what it is called there.
        phases: what is done, each in a process of its own; the last one is measured.
        unit: what the figure is: seconds for one of so many, or bytes.
        each: by how many the seconds are divided.
    """

    name: str
    phases: tuple[tuple[str, tuple[int, int]], ...]
    each: int = 1
    unit: str = "time"


WORKS = [
    Work("a step, one after the other", (("sequence", (1000, 0)),), 1000),
    Work("a step, with 100 instances at once", (("crowd", (100, 10)),), 1000),
    Work("a step, with 1,000 instances at once", (("crowd", (1000, 10)),), 10_000),
    Work("going on in a new process after 10 steps", (("park", (1, 10)), ("wake", (1, 10)))),
    Work("the same after 1,000 steps", (("park", (1, 1000)), ("wake", (1, 1000)))),
    Work("the same after 10,000 steps", (("park", (1, 10_000)), ("wake", (1, 10_000)))),
    Work("waking one of 1,000 that wait", (("park", (1000, 1)), ("wake", (1000, 1))), 1000),
    Work("a list of 1 MB through 1,000 steps", (("carry", (10_000, 1000)),)),
    Work("the same, bytes written", (("carry", (10_000, 1000)),), unit="bytes"),
]


def main() -> None:
    """Measure everything, or what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--systems", nargs="*", default=[name for name in SYSTEMS if _is_there(name)])
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        system, phase, first, second, folder = options.one
        print(json.dumps(asyncio.run(_measured(system, phase, (int(first), int(second)), Path(folder)))), flush=True)
        return
    print("|", " | ".join(["", *options.systems]), "|")
    print("|---" * (len(options.systems) + 1) + "|")
    for work in WORKS:
        found: dict[str, list[float]] = {system: [] for system in options.systems}
        for _ in range(options.rounds):
            for system in options.systems:
                found[system] += _figures(system, work)
        cells = [_shown(work, figures, options.rounds) for figures in found.values()]
        print("|", " | ".join([work.name, *cells]), "|", flush=True)


def _is_there(system: str) -> bool:
    return importlib.util.find_spec(SYSTEMS[system][2]) is not None


def _figures(system: str, work: Work) -> Iterator[float]:
    """The figure of one round, if the system gets there in time."""
    folder = Path(tempfile.mkdtemp(prefix="durable-peers-"))
    try:
        facts: dict[str, float] = {}
        for phase, sizes in work.phases:
            command = [sys.executable, "-m", __spec__.name, "--one", system, phase, *map(str, sizes), str(folder)]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
            if done.returncode:
                print(f"{system}, {work.name}: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                return
            facts = json.loads(done.stdout.splitlines()[-1])
        yield facts["bytes"] if work.unit == "bytes" else facts["seconds"] / work.each
    except subprocess.TimeoutExpired:
        return
    finally:
        drop_database_of(folder)
        shutil.rmtree(folder, ignore_errors=True)


async def _measured(system: str, phase: str, sizes: tuple[int, int], folder: Path) -> dict[str, float]:
    module, name, _ = SYSTEMS[system]
    it: System = getattr(importlib.import_module(f".{module}", __package__), name)(folder)
    begun = time.perf_counter()
    await it.open()
    opening = time.perf_counter() - begun
    gc.collect()
    before, start = written(), time.perf_counter()
    arguments: tuple[Any, ...] = sizes[:1] if phase == "sequence" else sizes
    await getattr(it, phase)(*arguments)
    seconds, size = time.perf_counter() - start, written() - before
    await it.close()
    return {"seconds": seconds + (opening if phase == "wake" and sizes[0] == 1 else 0), "bytes": size}


def _shown(work: Work, figures: list[float], rounds: int) -> str:
    if len(figures) < rounds:
        return f"over {_PATIENCE:.0f} s" if not figures else f"{_with_unit(work, statistics.median(figures))} (once)"
    return _with_unit(work, statistics.median(figures))


def _with_unit(work: Work, figure: float) -> str:
    """A figure, for people.

    >>> _with_unit(WORKS[0], 0.00123), _with_unit(WORKS[-1], 8_400_000)
    ('1.2 ms', '8.4 MB')
    """
    if work.unit == "bytes":
        return f"{figure / 1e6:.1f} MB"
    unit, size = next((pair for pair in _UNITS if figure >= pair[1]), _UNITS[-1])
    return f"{figure / size:.{1 if figure / size < 10 else 0}f} {unit}"


_UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))


if __name__ == "__main__":
    main()
