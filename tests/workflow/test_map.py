"""`wf.map`: one function over many items."""

import asyncio

import pytest

from durable_ast import InMemoryStore, Workflow


@pytest.fixture
def wf():
    return Workflow("m", db=InMemoryStore(), default_retries=0)


async def test_results_are_in_the_order_of_the_items(wf):
    running, most = 0, 0

    @wf.task
    async def work(item):
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001 * (10 - item))
        running -= 1
        return -item

    @wf.workflow(id="w")
    async def run():
        return await wf.map(work, range(10), max_concurrency=3)

    assert await run() == [-item for item in range(10)]
    assert most == 3
    assert await wf.map(work, [1, 2]) == [-1, -2]
    assert await wf.map(work, []) == []


async def test_what_has_finished_does_not_run_again(wf):
    broken = [True]
    calls = []

    async def work(item):
        calls.append(item)
        if item == 3 and broken[0]:
            raise OSError("no")
        return item

    @wf.workflow(id="w")
    async def run():
        return await wf.map(work, range(5), max_concurrency=1)

    with pytest.raises(OSError, match="no") as raised:
        await run()
    assert raised.value.__notes__ == ["this was item 3 of 5 to map; 1 have failed"]
    assert calls == [0, 1, 2, 3]
    broken[0] = False
    assert await run() == [0, 1, 2, 3, 4]
    assert calls == [0, 1, 2, 3, 3, 4]


@pytest.mark.parametrize("tolerate", [2, 0.4])
async def test_some_may_fail(wf, tolerate):
    async def work(item):
        if item % 2:
            raise ValueError(item)
        return item

    results = await wf.map(work, range(5), tolerate=tolerate)
    assert results[::2] == [0, 2, 4]
    assert [type(each) for each in results[1::2]] == [ValueError, ValueError]
    with pytest.raises(ValueError, match="5"):
        await wf.map(work, range(7), tolerate=2)


async def test_children(wf):
    calls = []

    @wf.workflow(id="child-{item}")
    async def child(item):
        calls.append(item)
        return item * 2

    @wf.workflow(id="parent")
    async def parent():
        return await wf.map(child, [1, 2, 3])

    assert await parent() == [2, 4, 6]
    assert await child(2) == 4
    assert calls == [1, 2, 3]


async def test_nonsense_is_refused(wf):
    async def work(item): ...

    with pytest.raises(ValueError, match="max_concurrency must be positive, not 0"):
        await wf.map(work, [1], max_concurrency=0)
    with pytest.raises(ValueError, match="tolerate must not be negative"):
        await wf.map(work, [1], tolerate=-1)
    for odd in (1.5, -0.1, True, "x"):
        with pytest.raises(ValueError, match="tolerate must be a number of items, or a share"):
            await wf.map(work, [1], tolerate=odd)
    for odd in (1.5, True, "x"):
        with pytest.raises(ValueError, match="max_concurrency must be a whole number"):
            await wf.map(work, [1], max_concurrency=odd)
