"""What is in memory of a run that waits for a signal, where no worker runs it."""

import asyncio
import gc
import threading
import weakref

import pytest

from durable_ast import InMemoryStore, SQLiteStore, Status, Workflow
from durable_ast.state.schema import Record


class Held:
    """Something that a run has in a local."""


alive: weakref.WeakSet[Held] = weakref.WeakSet()
entered: list[str] = []


class Locked:
    """A context manager that cannot be saved."""

    def __init__(self):
        self.lock = threading.Lock().acquire

    def __enter__(self):
        entered.append("enters")

    def __exit__(self, *error):
        entered.append("leaves")


@pytest.fixture(params=["memory", "sqlite"])
async def wf(request, tmp_path):
    workflow = Workflow("s", db=InMemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "s.db"))
    alive.clear()
    entered.clear()
    yield workflow
    await workflow.close()


async def waiting(handle):
    async with asyncio.timeout(30):
        while await handle.status() is not Status.WAITING:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)


async def test_a_run_that_waits_is_not_in_memory(wf):
    @wf.workflow(id="w-{number}")
    async def run(number):
        held = Held()
        alive.add(held)
        answers = [await wf.signal("s"), await wf.signal("s", timeout=60)]
        return type(held).__name__, number, *answers

    handles = [await wf.start(run, number) for number in range(5)]
    for handle in handles:
        await waiting(handle)
    gc.collect()
    assert not alive
    for handle in handles:
        await handle.signal("other")
        await handle.signal("s", 1)
    for number, handle in enumerate(handles):
        await waiting(handle)
        await handle.signal("s", 2)
        assert await handle.result(timeout=30) == ("Held", number, 1, 2)


async def test_its_time_limit_ends_the_wait(wf):
    @wf.workflow(id="w")
    async def run():
        try:
            return await wf.signal("s", timeout=0.2)
        except TimeoutError:
            return "late"

    assert await (await wf.start(run)).result(timeout=30) == "late"


async def test_it_is_cancelled_and_paused_all_the_same(wf):
    @wf.workflow(id="w-{number}")
    async def run(number):
        try:
            return await wf.signal("s")
        except asyncio.CancelledError:
            entered.append(f"cleans up {number}")
            raise

    first, second = [await wf.start(run, number) for number in range(2)]
    await waiting(first)
    await waiting(second)
    await first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.result(timeout=30)
    assert entered == ["cleans up 0"]
    await second.pause()
    async with asyncio.timeout(30):
        while await second.status() is not Status.PAUSED:
            await asyncio.sleep(0.01)
    await second.signal("s", 7)
    await second.resume()
    assert await second.result(timeout=30) == 7


async def test_it_stays_where_a_manager_would_be_entered_again(wf):
    @wf.workflow(id="w")
    async def run():
        with Locked():
            return await wf.signal("s")

    handle = await wf.start(run)
    await waiting(handle)
    gc.collect()
    await handle.signal("s", 3)
    assert await handle.result(timeout=30) == 3
    assert entered == ["enters", "leaves"]


async def test_it_stays_with_its_branches(wf):
    @wf.workflow(id="w")
    async def run():
        async def one(name):
            with Locked():
                return await wf.signal(name)

        return await asyncio.gather(one("a"), one("b"))

    handle = await wf.start(run)
    await waiting(handle)
    await handle.signal("b", 2)
    await handle.signal("a", 1)
    assert await handle.result(timeout=30) == [1, 2]
    assert entered == ["enters", "enters", "leaves", "leaves"]


async def test_nobody_waits_for_it_when_the_process_stops(wf):
    @wf.workflow(id="w")
    async def run():
        return await wf.signal("s")

    await waiting(await wf.start(run))
    async with asyncio.timeout(30):
        await wf.close(grace=600)


async def test_whoever_waits_for_a_result_does_not_hold_the_state(tmp_path):
    wf = Workflow("s", db=SQLiteStore(tmp_path / "s.db"))

    @wf.workflow(id="w")
    async def run():
        held = "x" * 100_000
        answer = await wf.signal("s")
        return len(held), answer

    await wf.recover()
    handle = await wf.start(run)
    await waiting(handle)
    results = [asyncio.create_task(handle.result(timeout=60)) for _ in range(5)]
    await asyncio.sleep(0.1)
    gc.collect()
    large = [each for each in gc.get_objects() if isinstance(each, Record) and len(each.state or b"") > 100_000]
    assert not [each for each in large if "test_whoever_waits" in each.program]
    await handle.signal("s", 1)
    assert await asyncio.gather(*results) == [(100_000, 1)] * 5
    await wf.close()
