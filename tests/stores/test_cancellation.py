"""Tasks that are cancelled while a store is at work for them."""

import asyncio
import time

import pytest

from durable_ast import DiskStateStore, DurableBackend, InMemoryStateStore, SQLiteStore, make_durable
from durable_ast.runtime.background import begin, drop
from durable_ast.state.schema import Record


async def step(number):
    return number


@make_durable
async def count(steps: int) -> int:
    total = 0
    for number in range(steps):
        total += await step(number)
    return total


@pytest.fixture(params=["memory", "disk", "sqlite"])
def backend(request, tmp_path):
    stores = {
        "memory": InMemoryStateStore,
        "disk": lambda: DiskStateStore(tmp_path),
        "sqlite": lambda: SQLiteStore(tmp_path / "durable.db"),
    }
    return DurableBackend(stores[request.param]())


def start(backend, number):
    return asyncio.create_task(count(20, orchestration_backend=backend, instance_id=f"it-{number}"))


async def test_cancelling_one_instance_does_not_reach_another(backend):
    """Instances that checkpoint at once share what the store does; not their cancellation."""
    tasks = [start(backend, number) for number in range(20)]
    for task in tasks[:10]:
        await asyncio.sleep(0.002)
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert results[10:] == [190] * 10
    assert all(result == 190 or isinstance(result, asyncio.CancelledError) for result in results)


async def test_a_cancelled_instance_goes_on_when_it_is_called_again(backend):
    """Whatever the moment, also while it is being acquired: it stays in nobody's hands."""
    for turns in range(30):
        task = start(backend, turns)
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert await asyncio.wait_for(start(backend, turns), 10) == 190


def test_event_loops_may_end_at_any_moment(backend):
    """One store, many event loops, each closed while instances are at work."""

    async def begin(turns: int) -> None:
        tasks = [start(backend, number) for number in range(5)]
        for _ in range(turns):
            await asyncio.sleep(0)
        assert len(tasks) == 5

    async def finish() -> list[int]:
        return await asyncio.gather(*(start(backend, number) for number in range(5)))

    for turns in range(15):
        asyncio.run(begin(turns))
    assert asyncio.run(asyncio.wait_for(finish(), 20)) == [190] * 5


@pytest.fixture
def busy_store(tmp_path):
    """A store whose thread is at work for a moment."""
    store = SQLiteStore(tmp_path / "s.db")
    store._writer.submit(lambda connection: time.sleep(0.1))
    yield store
    store._writer.close()


async def test_who_is_left_while_it_takes_an_instance_owns_nothing(busy_store):
    taking = begin(busy_store.acquire(Record("one", "program")), name="run one")
    await asyncio.sleep(0)
    await drop([taking])
    record, created = await busy_store.acquire(Record("one", "program"))
    assert (record.epoch, created) == (2, False)


async def test_who_is_closed_while_it_takes_an_instance_owns_nothing(busy_store):
    taking = busy_store.acquire(Record("one", "program"))
    taking.send(None)
    taking.close()
    await busy_store.read("one")
    record, created = await busy_store.acquire(Record("one", "program"))
    assert (record.epoch, created) == (2, False)


async def test_who_is_left_while_it_begins_a_transaction_holds_nobody_up(busy_store):
    record, _ = await busy_store.acquire(Record("one", "program"))
    busy_store._writer.submit(lambda connection: time.sleep(0.1))
    beginning = begin(busy_store.begin(record), name="run one")
    await asyncio.sleep(0)
    await drop([beginning])
    read = busy_store._writer.submit(lambda connection: 1)
    assert await asyncio.wait_for(asyncio.wrap_future(read), 10) == 1
