"""An instance whose branch has failed is called again: what failed runs again, what had finished does not."""

import asyncio
from collections import Counter

import pytest

from durable_ast import DurableBackend, InMemoryStateStore, make_durable, step

RUNS: list[str] = []
BROKEN: set[str] = set()


@step
async def do(name):
    RUNS.append(name)
    if name in BROKEN:
        raise ValueError(name)
    return name


async def three(name):
    return [await do(f"{name}1"), await do(f"{name}2"), await do(f"{name}3")]


@make_durable
async def gathers():
    first = await do("first")
    return first, await asyncio.gather(three("a"), three("b"))


@make_durable
async def groups():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(three("a")), group.create_task(three("b"))]
    return "first", [task.result() for task in tasks]


@make_durable
async def awaits_later():
    tasks = [asyncio.create_task(three("a")), asyncio.create_task(three("b"))]
    first = await do("first")
    return first, [await task for task in tasks]


@pytest.mark.parametrize("program", [gathers, groups, awaits_later])
@pytest.mark.parametrize("broken", ["b1", "b2", "b3"])
async def test_called_again_it_goes_on(program, broken):
    store = InMemoryStateStore()
    RUNS.clear()
    BROKEN.clear()
    BROKEN.add(broken)
    for _ in range(2):
        with pytest.raises((ValueError, ExceptionGroup)):
            await program(orchestration_backend=DurableBackend(store), instance_id="i")
    BROKEN.clear()
    result = await program(orchestration_backend=DurableBackend(store), instance_id="i")
    assert result == ("first", [["a1", "a2", "a3"], ["b1", "b2", "b3"]])
    finished = [name for name in RUNS if name != broken]
    assert len(set(finished)) == len(finished), f"a finished step ran again: {RUNS}"
    assert RUNS.count(broken) == 3
    again = await program(orchestration_backend=DurableBackend(store), instance_id="i")
    assert (again, RUNS.count(broken)) == (result, 3)


async def collects(name, results):
    await do(f"{name}1")
    results.append(f"{name}1")
    await do(f"{name}2")
    results.append(f"{name}2")
    if f"{name} after" in BROKEN:
        raise ValueError(f"{name} after")


@make_durable
async def gathers_into_one_list():
    results = []
    await asyncio.gather(collects("a", results), collects("b", results))
    return sorted(results)


@make_durable
async def groups_into_one_list():
    results = []
    async with asyncio.TaskGroup() as group:
        for name in "ab":
            group.create_task(collects(name, results))
    return sorted(results)


@pytest.mark.parametrize("program", [gathers_into_one_list, groups_into_one_list])
@pytest.mark.parametrize("broken", ["b1", "b2", "b after"])
async def test_what_branches_share_is_as_it_was_before_the_error(program, broken):
    store = InMemoryStateStore()
    RUNS.clear()
    BROKEN.clear()
    BROKEN.add(broken)
    for _ in range(2):
        with pytest.raises((ValueError, ExceptionGroup)):
            await program(orchestration_backend=DurableBackend(store), instance_id="i")
    BROKEN.clear()
    result = await program(orchestration_backend=DurableBackend(store), instance_id="i")
    assert result == ["a1", "a2", "b1", "b2"]
    assert [name for name, count in Counter(RUNS).items() if count > 1] == ([] if broken == "b after" else [broken])


async def test_an_error_that_was_handled_is_left_alone():
    @make_durable
    async def program():
        results = await asyncio.gather(do("bad"), do("good"), return_exceptions=True)
        await do("after")
        return [str(result) for result in results], await do("later")

    store = InMemoryStateStore()
    RUNS.clear()
    BROKEN.clear()
    BROKEN.update(("bad", "later"))
    with pytest.raises(ValueError, match="later"):
        await program(orchestration_backend=DurableBackend(store), instance_id="i")
    BROKEN.clear()
    result = await program(orchestration_backend=DurableBackend(store), instance_id="i")
    assert result == (["bad", "good"], "later")
    assert RUNS == ["bad", "good", "after", "later", "later"]


LEFT = []


async def test_branches_left_behind_go_on_as_plain_tasks():
    @make_durable
    async def program():
        LEFT.append(asyncio.create_task(three("left")))
        await do("first")

    RUNS.clear()
    BROKEN.clear()
    await program(orchestration_backend=DurableBackend(), instance_id="i")
    assert await LEFT.pop() == ["left1", "left2", "left3"]
