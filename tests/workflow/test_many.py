"""Many steps and many runs at once."""

import asyncio

from durable_ast import SQLiteStore, Workflow


async def test_500_steps_at_once_in_one_file(tmp_path):
    wf = Workflow("many", db=tmp_path / "m.db", default_retries=0)

    @wf.task
    async def step(number):
        await asyncio.sleep(0)
        return number

    @wf.workflow(id="gathered")
    async def gathered():
        return sum(await asyncio.gather(*(step(number) for number in range(500))))

    @wf.workflow(id="run-{number}")
    async def alone(number):
        return await step(number)

    results = await asyncio.gather(gathered(), *(alone(number) for number in range(500)))
    assert results == [sum(range(500)), *range(500)]
    await wf.close()


async def test_thousands_of_runs_that_wait_are_woken(tmp_path):
    wf = Workflow("many", db=SQLiteStore(tmp_path / "m.db", synchronous="NORMAL"))

    @wf.workflow(id="run-{number}")
    async def run(number):
        return number, await wf.signal("go")

    count = 2_000
    handles = await asyncio.gather(*(wf.start(run, number) for number in range(count)))
    async with asyncio.timeout(300):
        while await wf.list(status=["ENQUEUED", "RUNNING"], limit=1):
            await asyncio.sleep(0.1)
        assert all(await asyncio.gather(*(wf.complete(handle.id, "go", "!") for handle in handles)))
        results = await asyncio.gather(*(handle.result() for handle in handles))
    assert results == [(number, "!") for number in range(count)]
    await wf.close()
