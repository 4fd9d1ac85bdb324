"""A process to kill: ``python -m tests.kill.victim COMMAND STORE ARGUMENTS...``.

It says on its standard output when it is about to begin, so that a kill can be aimed.
"""

import asyncio
import itertools
import json
import os
import sys

from durable_ast import DurableBackend, open_store

from . import branches, programs, transactions


def _backend(store: str) -> DurableBackend:
    return DurableBackend(open_store(store, **json.loads(os.environ["KILL_OPTIONS"])))


async def run(store: str, name: str, instance_id: str, *args: str) -> None:
    """Call a program until it ends, and log its outcome."""
    backend = _backend(store)
    program = next(found for each in (programs, branches, transactions) if (found := getattr(each, name, None)))
    result = await program(*map(json.loads, args), orchestration_backend=backend, instance_id=instance_id, wait=True)
    programs.log("result", instance_id, json.dumps(result))


async def crowd(store: str, count: str) -> None:
    """Run instances of the shortest program, all at once."""
    backend = _backend(store)

    async def one(number: int) -> None:
        instance_id = f"short-{number}"
        result = await programs.short(number, orchestration_backend=backend, instance_id=instance_id)
        programs.log("result", instance_id, json.dumps(result))

    await asyncio.gather(*map(one, range(int(count))))


async def publish(store: str, instance_id: str) -> None:
    """Publish letters without end, and log each once it is stored."""
    backend = _backend(store)
    for number in itertools.count():
        letter = f"{os.getpid()}-{number}"
        await asyncio.wrap_future(backend.publish_event(instance_id, "letter", letter))
        programs.log("stored", letter)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    print("ready", flush=True)
    asyncio.run({"run": run, "crowd": crowd, "publish": publish}[command](*arguments))
