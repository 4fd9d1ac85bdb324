"""The mailbox of an instance, and waiting with a deadline."""

import asyncio

import pytest

from durable_ast import (
    DiskStateStore,
    DurableBackend,
    InMemoryStateStore,
    PauseForEventException,
    SQLiteStore,
    make_durable,
    wait_for_event,
)


@pytest.fixture(params=["memory", "disk", "sqlite"])
def reopened(request, tmp_path):
    """A function that gives a backend on the same data, as another process would have it."""
    memory = InMemoryStateStore()
    kinds = {
        "memory": lambda: memory,
        "disk": lambda: DiskStateStore(tmp_path / "folder"),
        "sqlite": lambda: SQLiteStore(tmp_path / "durable.db"),
    }
    return lambda: DurableBackend(kinds[request.param]())


ran: list[object] = []


@pytest.fixture(autouse=True)
def _fresh():
    ran.clear()


async def step(value):
    ran.append(value)
    return value


@make_durable
async def hear(names: list[str]) -> list[object]:
    return [await step(await wait_for_event(name)) for name in names]


async def test_what_is_published_before_anybody_waits_is_kept_in_order(reopened):
    backend = reopened()
    for number in range(3):
        backend.publish_event("it", "a", number)
        backend.publish_event("it", "b", -number)
    backend.publish_event("another", "a", "not for it")
    heard = await hear(list("abaabb"), orchestration_backend=backend, instance_id="it")
    assert heard == [0, 0, 1, 2, -1, -2]


async def test_each_message_is_delivered_once(reopened):
    await asyncio.wrap_future(reopened().publish_event("it", "a", "one"))
    for expected in ("two", "three"):
        with pytest.raises(PauseForEventException):
            await hear(list("aaa"), orchestration_backend=reopened(), instance_id="it")
        await asyncio.wrap_future(reopened().publish_event("it", "a", expected))
    assert await hear(list("aaa"), orchestration_backend=reopened(), instance_id="it") == ["one", "two", "three"]
    assert ran == ["one", "two", "three"]


async def test_only_the_event_opens_the_gate(reopened):
    for _ in range(3):
        with pytest.raises(PauseForEventException) as pause:
            await hear(["a"], orchestration_backend=reopened(), instance_id="it")
        assert (pause.value.event, pause.value.instance_id) == ("a", "it")
        await asyncio.wrap_future(reopened().publish_event("it", "b", "another"))
        await asyncio.wrap_future(reopened().publish_event("other", "a", "of another"))
    await asyncio.wrap_future(reopened().publish_event("it", "a", "right"))
    assert await hear(["a"], orchestration_backend=reopened(), instance_id="it") == ["right"]


async def test_wait_stays_until_the_event_is_there(reopened):
    backend = reopened()
    calling = asyncio.create_task(hear(["a"], orchestration_backend=backend, instance_id="it", wait=True))
    for _ in range(5):
        await asyncio.sleep(0.01)
    assert not calling.done()
    backend.publish_event("it", "a", "now")
    assert await calling == ["now"]


async def test_two_calls_at_once_run_it_once(reopened):
    backend = reopened()
    calls = [
        asyncio.create_task(hear(["a", "a"], orchestration_backend=backend, instance_id="it", wait=True))
        for _ in range(3)
    ]
    await asyncio.sleep(0.02)
    backend.publish_event("it", "a", 1)
    backend.publish_event("it", "a", 2)
    assert await asyncio.gather(*calls) == [[1, 2]] * 3
    assert ran == [1, 2]


SOON = 0.5
"""Seconds; a busy machine gets to the pause before."""


@make_durable
async def hear_or_give_up(timeout: float) -> object:
    try:
        return await wait_for_event("a", timeout=timeout)
    except TimeoutError:
        return await step("too late")


async def test_a_deadline_passes_while_nobody_is_there(reopened):
    with pytest.raises(PauseForEventException):
        await hear_or_give_up(SOON, orchestration_backend=reopened(), instance_id="it")
    await asyncio.sleep(SOON + 0.01)
    assert await hear_or_give_up(SOON, orchestration_backend=reopened(), instance_id="it") == "too late"
    assert ran == ["too late"]


async def test_an_event_that_came_in_time_counts_however_late_it_is_read(reopened):
    with pytest.raises(PauseForEventException):
        await hear_or_give_up(SOON, orchestration_backend=reopened(), instance_id="it")
    await asyncio.wrap_future(reopened().publish_event("it", "a", "in time"))
    await asyncio.sleep(SOON + 0.01)
    assert await hear_or_give_up(SOON, orchestration_backend=reopened(), instance_id="it") == "in time"
    assert ran == []


async def test_a_deadline_passes_while_the_call_waits(reopened):
    assert await hear_or_give_up(0.02, orchestration_backend=reopened(), instance_id="it", wait=True) == "too late"


async def test_the_program_may_catch_everything_but_a_pause(reopened):
    @make_durable
    async def greedy() -> str:
        try:
            return await wait_for_event("a")
        except BaseException as error:
            return f"swallowed {error!r}"
        finally:
            ran.append("finally")

    with pytest.raises(PauseForEventException):
        await greedy(orchestration_backend=reopened(), instance_id="it")
    assert ran == []
    await asyncio.wrap_future(reopened().publish_event("it", "a", "heard"))
    assert await greedy(orchestration_backend=reopened(), instance_id="it") == "heard"
    assert ran == ["finally"]


async def test_backends_can_wait_for_an_event_too(reopened):
    backend = reopened()
    with pytest.raises(TimeoutError, match=r"'a'.*'it'"):
        await backend.wait_for_event("it", "a", timeout=0.02)
    waiting = asyncio.create_task(backend.wait_for_event("it", "a"))
    await asyncio.sleep(0.02)
    backend.publish_event("it", "a", {"payload": None})
    assert await waiting == {"payload": None}
    assert await hear(["a"], orchestration_backend=backend, instance_id="it") == [{"payload": None}]
