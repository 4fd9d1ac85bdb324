"""An instance that failed is called again: what failed runs again, in whichever branch, and nothing else."""

import asyncio

import pytest

from durable_ast import DurableBackend, make_durable

CALLS: list[object] = []
BROKEN: set[object] = set()


@pytest.fixture(autouse=True)
def _fresh():
    CALLS.clear()
    BROKEN.clear()


async def step(name):
    CALLS.append(name)
    if name in BROKEN:
        raise OSError(name)
    return name


async def slow(name):
    await asyncio.sleep(0)
    return await step(name)


async def two(name):
    first = await slow(f"{name}1")
    if f"{name} between" in BROKEN:
        raise KeyError(name)
    return first, await slow(f"{name}2")


async def fails_then_succeeds(function, error):
    """What the calls of each run were, and the result of the second."""
    program, backend = make_durable(function), DurableBackend()
    with pytest.raises(error):
        await program(orchestration_backend=backend, instance_id="it")
    first = CALLS.copy()
    CALLS.clear()
    BROKEN.clear()
    return first, CALLS, await program(orchestration_backend=backend, instance_id="it")


async def test_a_step_after_branches():
    async def program():
        return await asyncio.gather(slow("a"), slow("b")), await step("c")

    BROKEN.add("c")
    first, again, result = await fails_then_succeeds(program, OSError)
    assert (first, again, result) == (["a", "b", "c"], ["c"], (["a", "b"], "c"))


@pytest.mark.parametrize("branch", [step, slow])
async def test_a_step_that_is_a_branch(branch):
    async def program():
        return await asyncio.gather(branch("a"), branch("b"), branch("c"))

    BROKEN.add("b")
    first, again, result = await fails_then_succeeds(program, OSError)
    assert (first, again, result) == (["a", "b", "c"], ["b"], ["a", "b", "c"])


async def test_a_later_step_of_a_branch():
    async def program():
        return await asyncio.gather(two("a"), two("b"))

    BROKEN.add("b2")
    first, again, result = await fails_then_succeeds(program, OSError)
    assert sorted(first) == ["a1", "a2", "b1", "b2"]
    assert (again, result) == (["b2"], [("a1", "a2"), ("b1", "b2")])


async def test_an_error_between_the_steps_of_a_branch():
    async def program():
        return await asyncio.gather(two("a"), two("b"), return_exceptions=False)

    BROKEN.add("b between")
    _, again, result = await fails_then_succeeds(program, KeyError)
    assert result == [("a1", "a2"), ("b1", "b2")]
    assert again[-1] == "b2" and "b1" not in again and "a1" not in again


async def test_a_member_of_a_group():
    async def program():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(slow(name)) for name in "abc"]
        return [task.result() for task in tasks]

    BROKEN.add("b")
    first, again, result = await fails_then_succeeds(program, ExceptionGroup)
    assert (first, again, result) == (["a", "b", "c"], ["b"], ["a", "b", "c"])


async def test_an_error_that_was_caught_stays_as_it_was():
    async def program():
        caught = await asyncio.gather(slow("a"), slow("b"), return_exceptions=True)
        return [str(each) for each in caught], await step("c")

    BROKEN.update(("a", "c"))
    first, again, result = await fails_then_succeeds(program, OSError)
    assert (first, again, result) == (["a", "b", "c"], ["c"], (["a", "b"], "c"))
