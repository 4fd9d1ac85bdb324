"""Branches that wait at locks, events and queues: after a resume they wait again, and none is forgotten."""

import asyncio

from ..concurrency.anywhere import anywhere, work


@anywhere(at_least=4)
async def test_a_lock_is_handed_on():
    lock = asyncio.Lock()

    async def worker(name):
        async with lock:
            await work(name, 3)
            await work((name, "again"), 3)
        return name

    return await asyncio.gather(*map(worker, "abc")), lock.locked()


@anywhere(at_least=4)
async def test_a_semaphore_lets_two_in():
    semaphore = asyncio.BoundedSemaphore(2)
    inside = []

    async def worker(name):
        async with semaphore:
            inside.append(name)
            await work(name, 3)
            assert len(inside) <= 2
            await work((name, "again"), 2)
            inside.remove(name)
        return name

    results = await asyncio.gather(*map(worker, "abcd"))
    return results, semaphore.locked(), inside


@anywhere(at_least=4)
async def test_an_event_wakes_all():
    event = asyncio.Event()

    async def waiter(name):
        await event.wait()
        return await work(name, 2)

    async def setter():
        for number in range(3):
            await work(number, 3)
        event.set()
        await work("after", 3)

    return await asyncio.gather(waiter("a"), waiter("b"), setter())


@anywhere(at_least=4)
async def test_a_queue_between_branches():
    queue: asyncio.Queue[int] = asyncio.Queue(1)

    async def producer():
        for number in range(3):
            await work(("make", number), 3)
            await queue.put(number)

    async def consumer():
        seen = []
        for _ in range(3):
            seen.append(await queue.get())
            await work(("use", seen[-1]), 7)
            queue.task_done()
        return seen

    results = await asyncio.gather(producer(), consumer())
    await queue.join()
    return results


@anywhere(at_least=4)
async def test_a_condition_is_waited_for():
    condition = asyncio.Condition()
    ready = []

    async def waiter(name):
        async with condition:
            while name not in ready:
                await condition.wait()
            await work((name, "inside"), 3)
        return await work(name)

    async def notifier():
        for name in "ab":
            await work(("before", name), 3)
            await work(("still before", name), 3)
            async with condition:
                ready.append(name)
                condition.notify_all()

    return await asyncio.gather(waiter("a"), waiter("b"), notifier())


@anywhere(at_least=4)
async def test_a_condition_with_a_predicate():
    condition = asyncio.Condition()
    ready = []

    async def waiter():
        async with condition:
            await condition.wait_for(lambda: len(ready) == 2)
            return list(ready)

    async def notifier():
        for name in "ab":
            await work(name, 3)
            async with condition:
                ready.append(name)
                condition.notify()
                await work(("notified", name), 3)

    return await asyncio.gather(waiter(), notifier())


@anywhere(at_least=4)
async def test_a_barrier_is_passed_together():
    barrier = asyncio.Barrier(2)

    async def runner(name, turns):
        for number in range(turns):
            await work((name, number), 3)
        async with barrier:
            await work((name, "in"), turns)
        return await work((name, "passed"), 3)

    return await asyncio.gather(runner("a", 1), runner("b", 3))
