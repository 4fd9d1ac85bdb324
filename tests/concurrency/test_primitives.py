"""Locks, queues and their like between branches."""

import asyncio

import pytest

from durable_ast import DurableBackend, InMemoryStateStore, PauseForEventException, make_durable, wait_for_event

from .anywhere import anywhere, work


@anywhere()
async def test_semaphore():
    limit = asyncio.Semaphore(2)
    running = []
    most = 0

    async def one(name):
        nonlocal most
        async with limit:
            running.append(name)
            most = max(most, len(running))
            await work((name, 1))
            await work((name, 2))
            running.remove(name)
        return name

    return await asyncio.gather(*(one(i) for i in range(6))), most, running


@anywhere()
async def test_lock():
    lock = asyncio.Lock()
    inside = []

    async def one(name):
        async with lock:
            inside.append(name)
            await work((name, 1))
            assert inside[-1] == name
            await work((name, 2))
            assert inside[-1] == name

    await asyncio.gather(one("a"), one("b"), one("c"))
    return inside, lock.locked()


@anywhere()
async def test_queue():
    queue = asyncio.Queue(maxsize=2)
    results = []

    async def produce():
        for i in range(5):
            await queue.put(await work(("made", i)))
        await queue.put(None)

    async def consume():
        while (item := await queue.get()) is not None:
            results.append(await work(("used", item)))
            queue.task_done()
        queue.task_done()

    await asyncio.gather(produce(), consume())
    await queue.join()
    return results


@anywhere()
async def test_workers_on_a_queue():
    queue = asyncio.Queue()
    for i in range(6):
        queue.put_nowait(i)
    results = []

    async def worker():
        while True:
            item = await queue.get()
            results.append(await work(item))
            queue.task_done()

    workers = [asyncio.create_task(worker()) for _ in range(3)]
    await queue.join()
    for task in workers:
        task.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    return sorted(results)


@anywhere()
async def test_event():
    ready = asyncio.Event()

    async def waits(name):
        await ready.wait()
        return await work(name)

    tasks = [asyncio.create_task(waits(i)) for i in range(3)]
    await work("first")
    await work("second")
    ready.set()
    return await asyncio.gather(*tasks)


@anywhere()
async def test_condition():
    condition = asyncio.Condition()
    stock = []

    async def buy(name):
        async with condition:
            await condition.wait_for(lambda: stock)
            return name, stock.pop(), await work(("bought", name))

    async def fill():
        for i in range(3):
            await work(("filled", i))
            async with condition:
                stock.append(i)
                condition.notify()

    *bought, _ = await asyncio.gather(buy("a"), buy("b"), buy("c"), fill())
    return sorted(item for _, item, _ in bought), stock


@anywhere()
async def test_barrier():
    barrier = asyncio.Barrier(3)
    order = []

    async def one(name):
        await work((name, "before"))
        order.append("before")
        await barrier.wait()
        order.append("after")
        await work((name, "after"))

    await asyncio.gather(one("a"), one("b"), one("c"))
    return order


@anywhere(plain=False, events={"go": 1, "stop": 2})
async def test_events_in_branches():
    async def waits(name):
        await work((name, "before"))
        payload = await wait_for_event(name)
        return payload, await work((name, "after"))

    return await asyncio.gather(waits("go"), waits("stop"), work("other"))


@anywhere(plain=False, events={"e": 1})
async def test_two_branches_wait_for_one_event_each_gets_one():
    async def waits():
        return await wait_for_event("e")

    return await asyncio.gather(waits(), waits())


async def test_an_instance_whose_branches_all_wait_leaves_memory():
    @make_durable
    async def both():
        async def waits(name):
            return await wait_for_event(name)

        return await asyncio.gather(waits("a"), waits("b"))

    backend = DurableBackend(InMemoryStateStore())
    for _ in range(2):
        with pytest.raises(PauseForEventException):
            await both(orchestration_backend=backend, instance_id="i")
    state = await backend.load_state("i")
    assert (state["status"], state["awaited"]) == ("WAITING", ("a", "b"))
    backend.publish_event("i", "b", 2)
    with pytest.raises(PauseForEventException) as pause:
        await both(orchestration_backend=backend, instance_id="i")
    assert pause.value.event == "a"
    backend.publish_event("i", "a", 1)
    assert await both(orchestration_backend=backend, instance_id="i") == [1, 2]
