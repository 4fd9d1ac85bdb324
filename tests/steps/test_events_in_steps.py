"""Events that are waited for inside of a step: in a task, in what a library calls back."""

import asyncio

import pytest

from durable_ast import (
    DurableBackend,
    InMemoryStateStore,
    PauseForEventException,
    Status,
    make_durable,
    step,
    wait_for_event,
)

from ..effects import LOG, note
from .test_journal import unit


@step
async def approval(name):
    before = await unit(f"asked for {name}")
    answer = await wait_for_event(name)
    return before, answer


@step
async def library(names):
    return await asyncio.gather(*(approval(name) for name in names))


@make_durable
async def asks(names):
    return await library(names), await wait_for_event("after")


def call(store, *args, **options):
    return asks(*args, orchestration_backend=DurableBackend(store), instance_id="it", **options)


async def publish(store, *events):
    for name in events:
        await asyncio.wrap_future(DurableBackend(store).publish_event("it", name, f"{name}!"))


async def test_it_waits_in_memory_with_whoever_waits():
    LOG.clear()
    store = InMemoryStateStore()
    task = asyncio.create_task(call(store, ["a", "b"], wait=True))
    while not task.done() and getattr(await store.read("it"), "awaited", None) != ("a", "b"):
        await asyncio.sleep(0)
    assert (await store.read("it")).status is Status.WAITING
    await publish(store, "b", "a", "after")
    assert await task == ([("asked for a", "a!"), ("asked for b", "b!")], "after!")
    assert await store.messages("it") == []
    assert await store.parts("it") == {}


async def test_it_leaves_memory_and_goes_on_where_nobody_waits():
    LOG.clear()
    store = InMemoryStateStore()
    for event in ("a", "b", "after"):
        with pytest.raises(PauseForEventException) as pause:
            await call(store, ["a", "b"])
        assert pause.value.event == event and pause.value.instance_id == "it"
        record = await store.read("it")
        assert record.status is Status.WAITING and event in record.awaited
        await publish(store, event)
    assert await call(store, ["a", "b"]) == ([("asked for a", "a!"), ("asked for b", "b!")], "after!")
    assert sorted(LOG) == [("unit", "asked for a"), ("unit", "asked for b")]


async def test_what_was_published_before_is_there():
    store = InMemoryStateStore()
    await publish(store, "a", "after")
    assert await call(store, ["a"]) == ([("asked for a", "a!")], "after!")


@make_durable
async def twice():
    async def body():
        first = await wait_for_event("e"), await wait_for_event("e")
        if note("body") and LOG.count("body") == 1:
            raise OSError("again")
        return first

    return await step(body, retries=1)()


async def test_each_message_is_taken_once_whatever_is_tried_again():
    LOG.clear()
    store = InMemoryStateStore()
    backend = DurableBackend(store)
    for payload in (1, 2, 3):
        backend.publish_event("it", "e", payload)
    assert await twice(orchestration_backend=backend, instance_id="it") == (1, 2)
    assert len(await store.messages("it")) == 1


@make_durable
async def in_time():
    async def body():
        try:
            return await wait_for_event("never", timeout=0.01)
        except TimeoutError as error:
            return str(error)

    return await step(body)()


async def test_the_time_is_up():
    backend = DurableBackend()
    assert "no event 'never'" in await in_time(orchestration_backend=backend, instance_id="it", wait=True)
