"""The clock of the machine: it may be set while somebody sleeps, and summer comes and goes.

Here it is set for the process alone.
"""

import asyncio
import datetime
import math
import time
import warnings
import zoneinfo

import pytest

from durable_ast import DurableBackend, InMemoryStateStore, make_durable, sleep_until
from durable_ast.runtime import timers

from ..everywhere import run
from .anywhere import LoggingStore, anywhere, outcome, work

HOUR = 3600.0
REAL = time.time
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


class Clock:
    """Goes as the real one does, but is set to something else."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        return REAL() + self.ahead

    def set(self, moment):
        """Set it to a moment."""
        self.ahead = moment.timestamp() - REAL()


@pytest.fixture
def clock(monkeypatch):
    """A clock that can be set, and is looked at every few milliseconds, not once a minute."""
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    monkeypatch.setattr(timers, "LONGEST", 0.005)
    return clock


async def sleeper(seconds):
    await work("before")
    await asyncio.sleep(seconds)
    return await work("after")


def started(function, *args, store=None):
    """A task that runs an instance and stays at its pauses."""
    backend = DurableBackend(store or InMemoryStateStore())
    return asyncio.create_task(
        make_durable(function)(*args, orchestration_backend=backend, instance_id="it", wait=True)
    )


async def some_time():
    await asyncio.sleep(0.15)


async def test_a_clock_that_is_set_forward_wakes_who_is_due(clock):
    running = started(sleeper, HOUR)
    await some_time()
    assert not running.done()
    clock.ahead += HOUR + 1
    assert await asyncio.wait_for(running, 20) == "after"


async def test_a_clock_that_is_set_back_is_waited_for(clock):
    running = started(sleeper, HOUR)
    await some_time()
    clock.ahead -= HOUR
    await some_time()
    clock.ahead += HOUR + 1
    await some_time()
    assert not running.done()
    clock.ahead += HOUR
    assert await asyncio.wait_for(running, 20) == "after"


async def both(names):
    return await asyncio.gather(*(sleeper_of(name) for name in names))


async def sleeper_of(name):
    await asyncio.sleep(HOUR)
    return await work(name)


async def test_branches_go_by_the_clock_too(clock):
    running = started(both, "ab")
    await some_time()
    assert not running.done()
    clock.ahead += HOUR + 1
    assert await asyncio.wait_for(running, 20) == ["a", "b"]


async def one_deadline():
    try:
        async with asyncio.timeout(0.2):
            await work("begun")
            await asyncio.sleep(2 * HOUR)
    except TimeoutError:
        return await work("late")


async def test_a_deadline_is_met_in_its_own_process_however_the_clock_is_set(clock):
    """As in plain asyncio, what goes by is what counts; only who comes back goes by the clock."""
    for ahead in (-HOUR, HOUR):
        running = started(one_deadline)
        await asyncio.sleep(0.05)
        clock.ahead += ahead
        assert await asyncio.wait_for(running, 20) == "late"


@pytest.mark.parametrize("ahead", [2 * HOUR, -2 * HOUR])
async def test_the_next_process_has_another_clock(clock, ahead):
    """Ahead, it wakes at once who is not due elsewhere; behind, it waits for its own clock."""
    store = LoggingStore()
    running = started(sleeper, HOUR, store=store)
    await some_time()
    state = store.states[-1][1]
    running.cancel()
    clock.ahead = ahead
    running = started(sleeper, HOUR, store=LoggingStore(state))
    if ahead < 0:
        await some_time()
        assert not running.done()
        clock.ahead = 2 * HOUR
    assert await asyncio.wait_for(running, 20) == "after"


MOMENTS = {
    "an hour is left out": ((2026, 3, 29, 1, 59, 59, 900_000), (2026, 3, 29, 3, 0), 0),
    "a moment that is left out": ((2026, 3, 29, 1, 59, 59, 900_000), (2026, 3, 29, 2, 0), 0),
    "the first of two": ((2026, 10, 25, 2, 29, 59, 900_000), (2026, 10, 25, 2, 30), 0),
}


@pytest.mark.parametrize("name", MOMENTS)
async def test_summer_begins_and_ends(clock, name):
    """A tenth of a second is a tenth of a second, also around the hour that there is twice, or not at all."""
    now, due, fold = MOMENTS[name]
    clock.set(datetime.datetime(*now, tzinfo=BERLIN))

    async def program():
        await sleep_until(datetime.datetime(*due, tzinfo=BERLIN, fold=fold))
        return datetime.datetime.now(datetime.UTC)

    begun = time.time()
    assert await asyncio.wait_for(started(program), 20)
    assert 0.1 <= time.time() - begun + 0.001 < 60


async def test_the_second_of_two_is_an_hour_later(clock):
    clock.set(datetime.datetime(2026, 10, 25, 2, 29, 59, 900_000, tzinfo=BERLIN))

    async def program():
        await sleep_until(datetime.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1))

    running = started(program)
    await some_time()
    assert not running.done()
    clock.ahead += HOUR
    await asyncio.wait_for(running, 20)


@anywhere()
async def test_delays_of_every_kind():
    seen = [await asyncio.sleep(delay, delay) for delay in (0, -1, -math.inf, False, 0.001)]
    async with asyncio.timeout(math.inf):
        seen.append(await asyncio.gather(work("a"), asyncio.sleep(0.001, "b")))
    seen.append(await asyncio.wait_for(work("c")._run(), math.inf))
    done, _ = await asyncio.wait([asyncio.create_task(work("d")._run())], timeout=math.inf)
    seen += [task.result() for task in done]
    done, pending = await asyncio.wait([asyncio.create_task(asyncio.sleep(60))], timeout=-math.inf)
    seen += [len(done), [task.cancel() for task in pending]]
    try:
        async with asyncio.timeout(-1):
            await asyncio.sleep(60)
    except TimeoutError:
        seen.append(await work("late"))
    return seen


@pytest.mark.parametrize("delay", ["1", None, 10**400], ids=str)
async def test_delays_that_are_refused(delay):
    async def program():
        await asyncio.sleep(delay)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plain = await outcome(program())
        assert await outcome(run(program, (), LoggingStore(), {}, {})) == plain
    assert plain[0] == "raised"
