"""Timers: they are due at a time of the clock, whichever process waits for it."""

import asyncio
import datetime
import math
import time

import pytest

from durable_ast import DurableBackend, InMemoryStateStore, make_durable, sleep_until

from .anywhere import anywhere, work


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
