"""Runs that the caller goes through in a block of its own: node by node, or as a stream."""

import asyncio
import logging

import pytest

from durable_ast import InMemoryStore, InvalidInstanceIdError, Status, Workflow
from durable_ast.pydantic_ai import DurableAgent

from ..everywhere import RecordingStore
from .scripted import LOG, Death, Killed, call, note, scripted


@pytest.fixture(autouse=True)
def _empty_log():
    LOG.clear()


def looker(store, death=lambda place: None):
    agent = scripted([call("look", "a", where="a")], [call("look", "b", where="b")], "done", death=death)

    @agent.tool_plain
    def look(where: str) -> str:
        note(f"look {where}")
        return where

    return DurableAgent(agent, Workflow("agents", db=store, default_retries=0))


async def through(agent, way, run_id="it"):
    if way == "iter":
        async with agent.iter("go", run_id=run_id) as run:
            async for _ in run:
                pass
        return run.result.output
    async with agent.run_stream("go", run_id=run_id) as stream:
        return "".join([text async for text in stream.stream_text(delta=True)])


WAYS = pytest.mark.parametrize("way", ["iter", "stream"])


@WAYS
async def test_a_run_with_an_id_is_stored(way):
    agent = looker(InMemoryStore())
    for _ in range(2):
        assert await through(agent, way) == "done"
        assert LOG == ["model 0", "look a", "model 1", "look b", "model 2"]
    assert (await agent.wf.handle("it").info()).status is Status.SUCCESS
    result = await agent.run("go", run_id="it")
    assert (result.output, result.usage.requests, len(result.all_messages())) == ("done", 3, 6)


@WAYS
@pytest.mark.parametrize("place", ["model 0", "model 1", "model 2"])
async def test_a_death_in_the_block(way, place):
    store = InMemoryStore()
    with pytest.raises(Killed):
        await through(looker(store, Death(place)), way)
    assert await through(looker(store), way) == "done"
    assert sorted(LOG) == sorted([*set(LOG), place])
    assert set(LOG) == {"model 0", "look a", "model 1", "look b", "model 2"}


@WAYS
async def test_a_death_at_every_write(way):
    """Another process goes on with the run, and has no such block."""
    store = RecordingStore()
    assert await through(looker(store), way) == "done"
    effects = list(LOG)
    for executed, state in store.states:
        LOG.clear()
        result = await looker(RecordingStore(state)).run("go", run_id="it")
        assert (result.output, result.usage.requests) == ("done", 3)
        assert len([effect for effect in effects[:executed] if effect in LOG]) <= 1
        assert len(set(LOG)) == len(LOG)


@WAYS
async def test_an_error_in_the_block_is_the_runs(way):
    agent = looker(InMemoryStore())

    async def failing():
        async with agent.iter("go", run_id="it") as run:
            async for node in run:
                if "CallTools" in type(node).__name__:
                    raise OSError("down")

    with pytest.raises(OSError, match="down"):
        await failing()
    assert (await agent.wf.handle("it").info()).status is Status.ERROR
    assert await through(agent, way) == "done"
    assert LOG.count("model 0") == 1


async def test_a_block_that_is_left_early_cancels_the_run():
    agent = looker(InMemoryStore())
    async with agent.iter("go", run_id="it") as run:
        async for _ in run:
            break
    assert (await agent.wf.handle("it").info()).status is Status.CANCELLED


async def test_a_run_that_is_cancelled_ends_its_block():
    agent = looker(InMemoryStore())
    entered = asyncio.Event()

    async def waiting():
        async with agent.iter("go", run_id="it"):
            entered.set()
            await asyncio.sleep(60)

    caller = asyncio.create_task(waiting())
    await entered.wait()
    await agent.wf.handle("it").cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert (await agent.wf.handle("it").info()).status is Status.CANCELLED


async def test_side_by_side():
    agent = looker(InMemoryStore())
    outputs = await asyncio.gather(*(through(agent, way, f"{way}-{n}") for way in ("iter", "stream") for n in range(3)))
    assert outputs == ["done"] * 6 and len(LOG) == 30
    together = await asyncio.gather(*(through(agent, "iter", "one") for _ in range(3)))
    assert together == ["done"] * 3 and len(LOG) == 35


async def test_without_an_id_it_says_that_it_is_not_durable(caplog):
    agent = looker(InMemoryStore())
    with caplog.at_level(logging.WARNING):
        assert await through(agent, "iter", None) == "done"
    assert "durable only if it is given a run_id" in caplog.text
    assert await agent.wf.list() == []


async def test_code_in_the_block_belongs_to_the_run():
    store = InMemoryStore()

    async def lived(death):
        agent = looker(store)

        @agent.wf.task
        async def mail() -> str:
            note("mail")
            return "sent"

        async with agent.iter("go", run_id="it") as run:
            async for _ in run:
                await mail(step_id="mail")
            death("end")
        return run.result.output

    with pytest.raises(Killed):
        await lived(Death("end"))
    assert await lived(Death()) == "done"
    assert LOG.count("mail") == 1 and len(LOG) == 6


async def test_wrong_arguments_are_the_callers():
    agent = looker(InMemoryStore())
    with pytest.raises(InvalidInstanceIdError):
        await through(agent, "iter", "")
    with pytest.raises(TypeError):
        async with agent.iter("go", run_id="other", nonsense=1):
            raise AssertionError
