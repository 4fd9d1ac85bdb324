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
    async with asyncio.timeout(0.1), asyncio.TaskGroup() as group:
        tasks = [group.create_task(two(name)) for name in "ab"]
    return [task.result() for task in tasks], await work("after")


async def in_a_gather():
    async with asyncio.timeout(0.1):
        results = await asyncio.gather(two("a"), two("b"))
    return results, await work("after")


async def in_time():
    return await asyncio.wait_for(two("a"), 0.1), await work("after")


@pytest.mark.parametrize("function", [in_a_group, in_a_gather, in_time])
async def test_a_deadline_that_passes_while_no_process_is_there(function):
    """It is over where something is still to be done in its block; else it is met.  Nobody is cancelled."""
    store = LoggingStore()
    result = await outcome(run(function, (), store, {}, {}))
    assert result[0] == "returned"
    await asyncio.sleep(0.15)
    for _, state in store.states[1:]:
        late = await outcome(run(function, (), LoggingStore(state), {}, {}))
        assert late == result or late[1][0] == (TimeoutError, "")


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
