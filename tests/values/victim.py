"""The process that holds the values: ``python -m tests.values.victim start|resume FOLDER``."""

import asyncio
import json
import os
import signal
import sys
import traceback
import warnings
from typing import Any

from durable_ast import DurableBackend, NotPersistableWarning, SQLiteStore, make_durable, step

from .cases import CASES, FOLDER
from .flights import FLIGHTS

NAMES = [*CASES, *FLIGHTS]
IS_FIRST = sys.argv[1:2] == ["start"]
arrived: set[str] = set()


@step
async def settled():
    """Its end is a checkpoint."""


@step
async def gate(name):
    """The first process does not get beyond this."""
    if IS_FIRST:
        arrived.add(name)
        await asyncio.Event().wait()


def made(name):
    with (FOLDER / "made").open("a") as log:
        log.write(f"{name}\n")
    return CASES[name].make()


@make_durable
async def holds(name):
    value = made(name)
    await settled()
    await gate(name)
    CASES[name].check(value)
    return "checked"


@make_durable
async def flies(name):
    async def pause():
        await settled()
        await gate(name)

    return await FLIGHTS[name](pause)


async def run(name: str, backend: DurableBackend) -> Any:
    program = holds if name in CASES else flies
    try:
        return await program(name, orchestration_backend=backend, instance_id=name)
    except Exception:
        return traceback.format_exc()


async def main() -> None:
    backend = DurableBackend(SQLiteStore(FOLDER / "store.db"))
    tasks = {name: asyncio.create_task(run(name, backend)) for name in NAMES}
    if IS_FIRST:
        while len(arrived) + sum(task.done() for task in tasks.values()) < len(NAMES):
            await asyncio.sleep(0.01)
        os.kill(os.getpid(), signal.SIGKILL)
    results = {name: await task for name, task in tasks.items()}
    (FOLDER / "results.json").write_text(json.dumps(results))


if __name__ == "__main__":
    warnings.simplefilter("ignore", NotPersistableWarning)
    asyncio.run(main())
