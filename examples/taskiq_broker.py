"""A task queue carries no more than run ids; the run itself survives whatever happens to its messages.

python examples/taskiq_broker.py     kill it, and start it again
"""

import asyncio

from taskiq import InMemoryBroker

from durable_ast import Workflow

broker = InMemoryBroker()
wf = Workflow("taskiq", db="taskiq.db")


@wf.task
async def fetch(job_id: int) -> list[int]:
    print(f"fetch {job_id}", flush=True)
    await asyncio.sleep(0.2)
    return [job_id, job_id + 1]


@wf.task
async def save(numbers: list[int]) -> str:
    print(f"save {numbers}", flush=True)
    await asyncio.sleep(0.2)
    return f"saved {sum(numbers)}"


@wf.workflow(id="job-{job_id}")
async def job(job_id: int) -> str:
    return await save(await fetch(job_id))


@broker.task
async def run_job(job_id: int) -> str:
    """Delivered twice, or again after a crash, it is still one run."""
    return await job(job_id)


async def main() -> None:
    await broker.startup()
    for _ in range(2):
        message = await run_job.kiq(42)
        print((await message.wait_result()).return_value)
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
