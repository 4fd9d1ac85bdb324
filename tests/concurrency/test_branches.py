"""gather, TaskGroup, create_task and their like: each branch goes on where it stood."""

import asyncio
import contextlib

import pytest

from .anywhere import anywhere, breaks, check, work


async def two(name):
    first = await work((name, 1))
    return first, await work((name, 2))


async def only(name, turns=1, error=None):
    return await (work(name, turns) if error is None else breaks(name, error, turns))


@anywhere(at_least=6)
async def test_gather():
    return await asyncio.gather(two("a"), two("b"), only("c", 3))


@anywhere(at_least=3)
async def test_gather_after_steps_and_before():
    start = await work("start")
    results = await asyncio.gather(*(two(i) for i in range(5)))
    return start, results, await work("end")


@anywhere()
async def test_gather_returns_exceptions():
    return [
        str(result)
        for result in await asyncio.gather(two("a"), only("b", 1, ValueError("b")), two("c"), return_exceptions=True)
    ]


@anywhere()
async def test_gather_first_error():
    try:
        await asyncio.gather(two("a"), only("b", 1, ValueError("b")), two("c"))
    except ValueError as error:
        return str(error), await work("after", 20)


@anywhere()
async def test_nested_gather():
    async def inner(name):
        return await asyncio.gather(two((name, "x")), two((name, "y")))

    return await asyncio.gather(inner("a"), inner("b"), two("c"))


@anywhere()
async def test_shared_list():
    results = []

    async def into(name):
        results.append(await work((name, 1)))
        results.append(await work((name, 2)))

    await asyncio.gather(into("a"), into("b"), into("c"))
    return sorted(results), await work("end")


@anywhere()
async def test_task_awaited_later():
    task = asyncio.create_task(two("task"))
    first = await work("first")
    second = await work("second")
    return first, second, await task, task.done(), task.result()


@anywhere()
async def test_task_keeps_its_name():
    task = asyncio.create_task(two("task"), name="my own")
    await work("first")
    await work("second")
    await task
    return task.get_name()


@anywhere()
async def test_task_group():
    async with asyncio.TaskGroup() as group:
        one = group.create_task(two("a"))
        other = group.create_task(two("b"))
        await work("inside")
    return one.result(), other.result(), await work("end")


@anywhere()
async def test_task_group_with_a_failure():
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(two("a"))
            group.create_task(only("b", 10, ValueError("b")))
    except* ValueError as errors:
        text = [str(error) for error in errors.exceptions]
    return text, await work("end")


@anywhere()
async def test_wait_first_completed():
    tasks = [asyncio.create_task(only(name, turns)) for name, turns in (("slow", 40), ("fast", 1))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    names = [task.result() for task in done], len(pending)
    await asyncio.wait(pending)
    return names, [task.result() for task in tasks]


@anywhere()
async def test_as_completed():
    results = []
    for next_one in asyncio.as_completed([only("a", 9), only("b", 2), two("c")]):
        results.append(await next_one)
    return sorted(map(str, results))


@anywhere()
async def test_wait_for():
    return await asyncio.wait_for(two("a"), 100), await work("b")


@anywhere()
async def test_wait_for_times_out():
    async def long():
        try:
            await work("first")
            await asyncio.sleep(100)
        finally:
            await work("cleanup")

    try:
        await asyncio.wait_for(long(), 0.02)
    except TimeoutError:
        return await work("late")


@anywhere(late=True)
async def test_timeout_around_branches():
    async def forever(name):
        await two(name)
        try:
            await asyncio.sleep(100)
        finally:
            await work((name, "cleanup"))

    try:
        async with asyncio.timeout(0.05):
            await asyncio.gather(forever("a"), forever("b"))
    except TimeoutError:
        return await work("late", 10)


@anywhere()
async def test_shield():
    inner = asyncio.create_task(two("inner"))
    first = await work("first")
    return first, await asyncio.shield(inner)


@anywhere()
async def test_cancel_a_branch():
    async def long():
        try:
            await asyncio.sleep(100)
        except asyncio.CancelledError:
            await work("cleanup 1")
            await work("cleanup 2")
            raise

    task = asyncio.create_task(long())
    await work("before")
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return "cancelled", await work("after"), task.cancelled()


async def until_cancelled(name, seen, naps):
    """Step after step; whether it was cancelled before it gave up."""
    try:
        for index in range(30):
            await work((name, index), 0)
            if naps:
                await asyncio.sleep(0.0001)
            else:
                await asyncio.sleep(0)
    except asyncio.CancelledError:
        seen.add(name)
        raise


async def cancel_of_siblings(turns, naps):
    seen = set()
    with contextlib.suppress(ExceptionGroup):
        async with asyncio.TaskGroup() as group:
            group.create_task(until_cancelled("a", seen, naps))
            group.create_task(until_cancelled("b", seen, naps))
            group.create_task(only("c", turns, ValueError("c")))
    return sorted(seen)


@pytest.mark.parametrize("naps", [False, True], ids=["yields", "naps"])
@pytest.mark.parametrize("turns", range(6))
async def test_a_cancellation_that_comes_while_a_checkpoint_is_written_is_not_lost(turns, naps):
    await check(cancel_of_siblings, (turns, naps), True, True, 1, {}, {})


@anywhere()
async def test_a_cancellation_of_the_root_that_has_not_arrived_is_saved():
    await asyncio.gather(two("a"), two("b"))
    try:
        async with asyncio.timeout(-1):
            await asyncio.sleep(0.001)  # a checkpoint, at the moment at which the time is over
    except TimeoutError:
        return await work("late")


@anywhere()
async def test_an_error_in_a_handler_knows_what_was_handled():
    async def failing():
        try:
            await asyncio.sleep(60)
        finally:
            raise ZeroDivisionError

    try:
        async with asyncio.timeout(0.1), asyncio.TaskGroup() as group:
            group.create_task(failing())
            try:
                raise ValueError
            finally:
                await asyncio.sleep(60)
    except ExceptionGroup as error:
        links = [error.__context__]
        while links[-1].__context__ is not None:
            links.append(links[-1].__context__)
        return [type(link) for link in links]


@anywhere()
async def test_a_branch_says_that_it_is_a_task():
    task = asyncio.create_task(work(1)._run(), name="first")
    await work(2)
    return type(task).__name__, repr(task).partition(" ")[0], await task


@anywhere()
async def test_a_local_class_is_one_class_in_every_branch():
    class Lost(Exception):
        pass

    async def failing(name):
        await work(name)
        raise Lost(name)

    errors = await asyncio.gather(failing(1), failing(2), return_exceptions=True)
    await work(3)
    return [(type(error) is Lost, str(error)) for error in errors]


@anywhere()
async def test_no_other_branch_runs_where_plain_asyncio_would_not_suspend():
    order = []

    async def other():
        order.append("other")

    task = asyncio.create_task(other())
    for number in range(3):
        await work(number, turns=0)
        order.append(number)
    await task
    return order


@anywhere()
async def test_a_waiter_is_cancelled_before_the_one_who_cancelled_it_goes_on():
    queue = asyncio.Queue(1)
    queue.put_nowait(1)
    putting = asyncio.create_task(queue.put(2))
    await asyncio.sleep(0)
    await work("waits", turns=0)
    putting.cancel()
    await work("cancelled", turns=0)
    queue.get_nowait()
    await work("there is room", turns=0)
    try:
        await putting
    except asyncio.CancelledError:
        await work("cleaning up", turns=0)
        return "cancelled", queue.qsize()


@anywhere()
async def test_a_sleeper_is_cancelled_although_its_time_is_up():
    async def sleeps():
        try:
            await asyncio.sleep(0.02)
        except asyncio.CancelledError:
            return "cancelled", await work("cleaning up")

    task = asyncio.create_task(sleeps())
    await asyncio.sleep(0)
    await work("sleeps", turns=0)
    task.cancel()
    await work("cancelled", turns=0)
    return await task


@anywhere()
async def test_a_branch_that_is_cancelled_before_it_begins_never_does():
    async def never():
        await work("never")

    task = asyncio.create_task(never())
    await work("made", turns=0)
    task.cancel()
    await work("cancelled", turns=0)
    try:
        await task
    except asyncio.CancelledError:
        await work("known", turns=0)
        return "cancelled"
