"""A task in a loop: each call is a step of its own, with or without a `step_id`.

python examples/loop.py              kill it, and start it again
"""

import asyncio

from durable_ast import Workflow

wf = Workflow("loop", db="loop.db")


@wf.task
async def push(record: int) -> int:
    print(f"push {record}", flush=True)
    await asyncio.sleep(0.1)
    return record * 10


@wf.workflow(id="sync-{batch}")
async def sync(batch: str) -> list[int]:
    pushed = [await push(record) for record in range(4)]
    for record in range(4, 8):
        pushed.append(await push(record, step_id=f"push-{record}"))
    return pushed


if __name__ == "__main__":
    print(asyncio.run(sync("2024-01")))
