"""Timers: they are due at a time of the clock, whichever process waits for it."""

import asyncio
import datetime
import math
import time

import pytest

from durable_ast import DurableBackend, InMemoryStateStore, make_durable, sleep_until

from ..everywhere import run
from .anywhere import LoggingStore, anywhere, outcome, work


@anywhere()
async def test_sleep_until():
    await work("before")
    await sleep_until(datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=0.05))
    return await work("after")


@anywhere()
async def test_moments_that_have_passed():
    await sleep_until(datetime.datetime(2001, 1, 1))  # noqa: DTZ001
    await asyncio.sleep(-5)
    await asyncio.sleep(0)
    return await work("after"), await asyncio.sleep(0.01, "result")


async def two(name):
    return await work((name, 1)), await work((name, 2))


async def in_a_group():
    async with asyncio.timeout(0.5), asyncio.TaskGroup() as group:
        tasks = [group.create_task(two(name)) for name in "ab"]
    return [task.result() for task in tasks], await work("after")


async def in_a_gather():
    async with asyncio.timeout(0.5):
        results = await asyncio.gather(two("a"), two("b"))
    return results, await work("after")


async def in_time():
    return await asyncio.wait_for(two("a"), 0.5), await work("after")


@pytest.mark.parametrize("function", [in_a_group, in_a_gather, in_time])
async def test_a_deadline_that_passes_while_no_process_is_there(function):
    """It is over where something is still to be done in its block; else it is met.  Nobody is cancelled."""
    store = LoggingStore()
    result = await outcome(run(function, (), store, {}, {}))
    assert result[0] == "returned"
    await asyncio.sleep(0.5)
    for _, state in store.states[1:]:
        late = await outcome(run(function, (), LoggingStore(state), {}, {}))
        assert late == result or late[1][0] == (TimeoutError, "")


async def one_in_time():
    async def slow():
        try:
            await asyncio.sleep(100)
        finally:
            await work("late")

    tasks = [asyncio.create_task(slow()), asyncio.create_task(work("in time")._run())]
    seen = []
    try:
        for done in asyncio.as_completed(tasks, timeout=1):
            seen.append(await done)
    except TimeoutError:
        tasks[0].cancel()
        await asyncio.wait(tasks)
    return seen


async def test_what_was_done_in_time_is_not_lost_with_its_process():
    class Until(LoggingStore):
        async def save(self, instance_id, state):
            if not is_late:
                await super().save(instance_id, state)

    store, is_late = Until(), False
    running = asyncio.create_task(run(one_in_time, (), store, {}, {}))
    await asyncio.sleep(0.7)  # both are done or waiting, and it is not yet late
    is_late = True
    assert await running == ["in time"]
    _, state = store.states[-1]
    assert await run(one_in_time, (), LoggingStore(state), {}, {}) == ["in time"]


async def test_a_timer_waits_for_its_moment():
    moment = datetime.datetime.now() + datetime.timedelta(seconds=0.05)  # noqa: DTZ005

    @make_durable
    async def program():
        await sleep_until(moment)
        return time.time()

    assert await program(orchestration_backend=DurableBackend(), instance_id="i") >= moment.timestamp()


async def test_a_sleep_without_end():
    @make_durable
    async def program():
        await asyncio.sleep(math.inf)

    store = InMemoryStateStore()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await program(orchestration_backend=DurableBackend(store), instance_id="i")


@pytest.mark.parametrize("when", [5, "tomorrow", None])
async def test_what_is_no_moment(when):
    @make_durable
    async def program():
        await sleep_until(when)

    with pytest.raises(TypeError, match="needs a datetime"):
        await sleep_until(when)
    with pytest.raises(TypeError, match="needs a datetime"):
        await program(orchestration_backend=DurableBackend(), instance_id="i")
