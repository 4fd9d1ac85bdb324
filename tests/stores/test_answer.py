"""Those who wait for one answer are all woken, in their order, whatever becomes of one of them."""

import asyncio
import contextvars

import pytest

from durable_ast import DurableBackend, SQLiteStore, make_durable
from durable_ast.stores.answer import Answer


async def step(number):
    return number


@make_durable
async def leave(number: int) -> None:
    if number == 3:
        raise SystemExit
    await step(number)


name = contextvars.ContextVar("name")


async def waiters(answer, woken, count=3):
    async def wait(number):
        name.set(number)
        woken.append((number, await answer, name.get()))

    tasks = [asyncio.create_task(wait(number)) for number in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_all_are_woken_in_order_each_in_its_own_context():
    answer, woken = Answer(loop=asyncio.get_running_loop()), []
    tasks = await waiters(answer, woken)
    asyncio.get_running_loop().call_soon(answer.set_result, "there")
    await asyncio.gather(*tasks)
    assert woken == [(number, "there", number) for number in range(3)]
    assert await answer == "there", "who comes later gets it too"


async def test_an_error_is_raised_in_all_of_them():
    answer = Answer(loop=asyncio.get_running_loop())
    tasks = await waiters(answer, [])
    asyncio.get_running_loop().call_soon(answer.set_exception, OSError("the disk is full"))
    assert [str(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == ["the disk is full"] * 3


async def test_who_is_cancelled_learns_of_it_when_the_answer_is_there():
    answer, woken = Answer(loop=asyncio.get_running_loop()), []
    tasks = await waiters(answer, woken)
    tasks[1].cancel()
    await asyncio.sleep(0)
    assert not tasks[1].done()
    asyncio.get_running_loop().call_soon(answer.set_result, None)
    await asyncio.wait(tasks)
    assert [number for number, *_ in woken] == [0, 2] and tasks[1].cancelled()


async def test_who_waits_no_longer_is_not_woken():
    answer, woken = Answer(loop=asyncio.get_running_loop()), []
    removed, kept = (lambda _: woken.append("removed")), (lambda _: woken.append("kept"))
    for callback in (removed, kept, removed):
        answer.add_done_callback(callback)
    assert answer.remove_done_callback(removed) == 2
    asyncio.get_running_loop().call_soon(answer.set_result, None)
    await asyncio.sleep(0)
    assert woken == ["kept"]


def test_one_that_ends_the_program_leaves_the_others_to_be_woken():
    """As an error of the process ends `run_until_complete`, after which the loop may run again."""
    woken = []

    async def end(answer):
        await answer
        raise KeyboardInterrupt

    async def main():
        answer = Answer(loop=loop)
        tasks = [*await waiters(answer, woken, 1), loop.create_task(end(answer))]
        await asyncio.sleep(0)
        tasks += await waiters(answer, woken, 2)
        loop.call_soon(answer.set_result, None)
        await asyncio.wait(tasks)

    loop = asyncio.new_event_loop()
    try:
        running = loop.create_task(main())
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(running)
        loop.run_until_complete(running)
    finally:
        loop.close()
    assert [number for number, *_ in woken] == [0, 0, 1]


def test_an_instance_that_ends_the_program_does_not_keep_it_from_ending(tmp_path):
    """Whoever waits for an answer cannot be cancelled, so `asyncio.run` would wait for them for ever."""

    async def main():
        backend = DurableBackend(SQLiteStore(tmp_path / "durable.db"))
        await asyncio.gather(
            *(leave(number, orchestration_backend=backend, instance_id=f"it-{number}") for number in range(20))
        )

    with pytest.raises(SystemExit):
        asyncio.run(asyncio.wait_for(main(), 20))
