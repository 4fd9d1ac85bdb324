"""What a task says of itself, and whom it calls when it is done."""

import asyncio
import functools

from .anywhere import anywhere, breaks, work


async def two(name):
    return await work((name, 1)), await work((name, 2))


@anywhere()
async def test_done_callbacks():
    seen = []
    task = asyncio.create_task(work("task", 20)._run())
    task.add_done_callback(lambda done: seen.append(done.result()))
    task.add_done_callback(functools.partial(seen.append))
    await work("before")
    result = await task
    await work("after")
    return result, seen[0], seen[1] is task, len(seen)


@anywhere()
async def test_tasks_that_run_in_the_background():
    """As asyncio's documentation has it: a set keeps them until they are done."""
    background = set()
    for name in "abc":
        task = asyncio.create_task(two(name))
        background.add(task)
        task.add_done_callback(background.discard)
    rounds = 0
    while background:
        rounds += 1
        await asyncio.sleep(0.001)
    return rounds > 0, await work("end")


@anywhere()
async def test_a_callback_that_was_taken_back():
    seen = []
    task = asyncio.create_task(two("a"))
    task.add_done_callback(seen.append)
    await work("before", 0)
    removed = task.remove_done_callback(seen.append)
    await work("after", 0)
    await task
    return removed, len(seen), await work("end")


@anywhere()
async def test_a_callback_that_cancels_another_task():
    async def long():
        try:
            await asyncio.sleep(60)
        finally:
            await work("cleaned")

    other = asyncio.create_task(long())
    task = asyncio.create_task(two("a"))
    task.add_done_callback(lambda done: other.cancel("it is done"))
    try:
        await other
    except asyncio.CancelledError as error:
        return error.args, await work("end")


@anywhere()
async def test_a_callback_that_refers_to_what_all_branches_share():
    results = []

    async def into(name):
        results.append(await work((name, 1)))
        results.append(await work((name, 2)))

    tasks = [asyncio.create_task(into(name)) for name in "abc"]
    for task in tasks:
        task.add_done_callback(lambda done: results.append("done"))
    await asyncio.wait(tasks)
    await work("after")
    return sorted(map(str, results))


@anywhere()
async def test_callbacks_of_a_task_that_fails():
    seen = []
    task = asyncio.create_task(breaks("task", ValueError("no"), 20)._run())
    task.add_done_callback(lambda done: seen.append(repr(done.exception())))
    await work("before")
    try:
        await task
    except ValueError:
        return seen, await work("after")


@anywhere()
async def test_a_cancellation_that_was_swallowed_is_counted():
    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await work("swallowed")
        return await work("result")

    task = asyncio.create_task(stubborn())
    await work("before", 10)
    task.cancel()
    return await task, task.cancelled(), task.cancelling(), await work("after"), task.cancelling()


@anywhere()
async def test_the_message_of_a_cancellation():
    seen = []

    async def stubborn():
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            seen.append(error.args)
            await work("first")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as second:
                seen.append(second.args)
                await work("second")
                raise

    task = asyncio.create_task(stubborn())
    await work("before", 10)
    task.cancel("one")
    await work("between", 10)
    await work("still", 10)
    task.cancel("two")
    try:
        await task
    except asyncio.CancelledError as error:
        return seen, error.args, task.cancelling(), await work("after")


@anywhere()
async def test_a_variable_that_only_a_shared_class_reads():
    """The class is shared by two branches; the variable that its method reads is a variable of the third."""
    import math as number

    class Lost(Exception):
        def __init__(self, name):
            super().__init__(name)
            self.value = number.floor(2.5)

    async def failing(name):
        await work(name)
        raise Lost(name)

    results = await asyncio.gather(failing("a"), two("b"), failing("c"), return_exceptions=True)
    await work("after")
    return [result.value for result in results if isinstance(result, Lost)], type(results[0]) is Lost
