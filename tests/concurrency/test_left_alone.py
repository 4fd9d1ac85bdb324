"""What nobody takes care of: a branch that never ends, an event loop that is closed, a coroutine that
nobody awaits.  PYTEST_DONT_REWRITE"""

import asyncio
import gc
import inspect
import warnings

import pytest

from durable_ast import DurableBackend, InMemoryStateStore, make_durable
from durable_ast.state.schema import Status

from .anywhere import LOG, work


@pytest.fixture(autouse=True)
def _fresh():
    LOG.clear()


def ended():
    return [name for kind, name in LOG if kind == "end"]


async def never(name):
    try:
        await work((name, "begun"))
        await asyncio.Event().wait()
    finally:
        LOG.append(("end", (name, "finally")))


@make_durable
async def leaves_one_behind():
    asyncio.create_task(never("left"))  # noqa: RUF006
    await work("first", 3)
    return await work("last", 3)


async def test_a_branch_that_never_ends_holds_nobody_up():
    store = InMemoryStateStore()
    assert await leaves_one_behind(orchestration_backend=DurableBackend(store), instance_id="it") == "last"
    record = await store.read("it")
    assert record.status is Status.SUCCESS
    assert ended() == [("left", "begun"), "first", "last"]
    assert await leaves_one_behind(orchestration_backend=DurableBackend(store), instance_id="it") == "last"
    assert len(ended()) == 3
    others = asyncio.all_tasks() - {asyncio.current_task()}
    (left,) = [task for task in others if "never" in repr(task)]
    left.cancel()  # it is a plain task of the loop now
    with pytest.raises(asyncio.CancelledError):
        await left
    assert ended()[-1] == ("left", "finally")


@make_durable
async def waits_for_ever():
    return await asyncio.gather(work("first"), never("a"), never("b"))


async def test_who_waits_for_a_branch_that_never_ends_can_be_cancelled():
    store = InMemoryStateStore()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await waits_for_ever(orchestration_backend=DurableBackend(store), instance_id="it", wait=True)
    assert (await store.read("it")).status is Status.CANCELLED
    assert sorted(name for name in ended() if "finally" in name) == [("a", "finally"), ("b", "finally")]


@make_durable
async def three_branches():
    async def one(name):
        try:
            for number in range(3):
                await work((name, number))
            return name
        finally:
            LOG.append(("end", (name, "finally")))

    return await asyncio.gather(*map(one, "abc"))


@make_durable
async def sleeps_in_a_step():
    await asyncio.Event().wait()


@pytest.mark.parametrize("turns", range(3, 7))
def test_an_event_loop_that_is_closed(turns):
    """Nothing of the instance is unwound; it goes on in another loop."""
    store = InMemoryStateStore()
    loop = asyncio.new_event_loop()
    task = loop.create_task(three_branches(orchestration_backend=DurableBackend(store), instance_id="it"))
    for _ in range(turns):
        loop.call_soon(loop.stop)
        loop.run_forever()
    assert not task.done()
    left = [name for name in ended() if "finally" in name]
    finished = [name for name in ended() if "finally" not in name]
    loop.close()
    for pending in asyncio.all_tasks(loop):
        pending._log_destroy_pending = False
    del task, loop
    gc.collect()
    assert [name for name in ended() if "finally" in name] == left, "it was unwound"
    store.release("it", asyncio.run(store.read("it")).epoch)
    assert asyncio.run(three_branches(orchestration_backend=DurableBackend(store), instance_id="it")) == ["a", "b", "c"]
    again = [name for name in ended()[len(finished) + len(left) :] if "finally" not in name]
    assert len(set(finished) & set(again)) <= 3, "more than the step that each branch was in ran again"


@make_durable
async def lets_go_of_others():
    label = "part"

    async def part(number):
        gc.collect()
        return f"{label} {await work(number)}"

    gc.collect()
    return await asyncio.gather(*map(part, range(3)))


@pytest.mark.parametrize("other", [three_branches, sleeps_in_a_step])
async def test_what_a_closed_event_loop_leaves_disturbs_nobody(other):
    """It is taken apart by whoever happens to run when the garbage collector looks."""
    store = InMemoryStateStore()
    await lets_go_of_others(orchestration_backend=DurableBackend(store), instance_id="undisturbed")
    await asyncio.to_thread(leave_in_a_closed_loop, other)
    await lets_go_of_others(orchestration_backend=DurableBackend(store), instance_id="disturbed")
    undisturbed, disturbed = await store.read("undisturbed"), await store.read("disturbed")
    assert disturbed.sequence == undisturbed.sequence, "checkpoints are missing"


def leave_in_a_closed_loop(program):
    gc.disable()
    try:
        loop = asyncio.new_event_loop()
        task = loop.create_task(program(orchestration_backend=DurableBackend(InMemoryStateStore())))
        for _ in range(5):
            loop.call_soon(loop.stop)
            loop.run_forever()
        assert not task.done()
        task._log_destroy_pending = False
        for pending in asyncio.all_tasks(loop):
            pending._log_destroy_pending = False
        loop.close()
    finally:
        gc.enable()


async def child():
    await work("never")


async def forgets():
    await work("first")
    child()
    first = inspect.currentframe().f_lineno - 1
    coroutine = child()
    await work("second")
    del coroutine
    second = inspect.currentframe().f_lineno - 1
    return first, second


@pytest.mark.parametrize("is_durable", [False, True])
async def test_a_coroutine_that_nobody_awaits(is_durable):
    """The usual warning, on the line on which it is dropped."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if is_durable:
            lines = await make_durable(forgets)(orchestration_backend=DurableBackend(), instance_id="it")
        else:
            lines = await forgets()
    assert [(str(each.message), each.filename, each.lineno) for each in caught] == [
        ("coroutine 'child' was never awaited", __file__, line) for line in lines
    ]


async def test_a_coroutine_that_is_awaited_gives_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert await make_durable(starts)(orchestration_backend=DurableBackend(), instance_id="it") == [None] * 2


async def starts():
    return await asyncio.gather(child(), asyncio.create_task(child()))
