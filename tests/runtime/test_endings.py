"""How instances end, and what calling them again does."""

import asyncio
import time

import pytest

from durable_ast import (
    DurableBackend,
    InMemoryStateStore,
    OrchestrationBackend,
    PauseForEventException,
    SQLiteStore,
    StateStore,
    make_durable,
    wait_for_event,
)

ran: list[object] = []
broken: list[object] = []


@pytest.fixture(autouse=True)
def _fresh():
    ran.clear()
    broken.clear()


async def step(value):
    if value in broken:
        raise ConnectionError(f"no network for {value}")
    ran.append(value)
    return value


@make_durable
async def three() -> list[object]:
    return [await step(value) for value in "abc"]


@pytest.fixture(params=["memory", "sqlite"])
def backend(request, tmp_path):
    return DurableBackend(InMemoryStateStore() if request.param == "memory" else SQLiteStore(tmp_path / "x.db"))


async def test_a_finished_instance_runs_nothing(backend):
    for _ in range(3):
        assert await three(orchestration_backend=backend, instance_id="it") == ["a", "b", "c"]
    assert ran == ["a", "b", "c"]


async def test_an_instance_that_failed_goes_on_from_the_block_that_failed(backend):
    broken.append("b")
    for _ in range(2):
        with pytest.raises(ConnectionError, match="no network for b"):
            await three(orchestration_backend=backend, instance_id="it")
    broken.clear()
    assert await three(orchestration_backend=backend, instance_id="it") == ["a", "b", "c"]
    assert ran == ["a", "b", "c"]


async def test_instances_without_an_id_are_new_each_time(backend):
    await three(orchestration_backend=backend)
    await three(orchestration_backend=backend)
    assert ran == ["a", "b", "c"] * 2


@make_durable
async def cleans_up() -> None:
    try:
        await asyncio.gather(step("a"), wait_for_event("never"))
    finally:
        await step("cleaned")


async def test_a_handle_cancels_an_instance(backend):
    handle = await cleans_up.start(instance_id="it", orchestration_backend=backend)
    calling = asyncio.create_task(cleans_up(orchestration_backend=backend, instance_id="it", wait=True))
    while "a" not in ran:
        await asyncio.sleep(0.01)
    await handle.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    with pytest.raises(asyncio.CancelledError):
        await handle.result(timeout=10)
    assert ran == ["a", "cleaned"]


async def test_sleep_counts_the_time_in_which_nobody_was_there(backend):
    """The first process dies in its sleep; the second one comes late, and does not wait again."""

    @make_durable
    async def nap() -> str:
        await step("before")
        await asyncio.sleep(0.3)
        return await step("after")

    first = asyncio.create_task(nap(orchestration_backend=backend, instance_id="it"))
    while (await backend.load_state("it") or {}).get("status") != "SLEEPING":
        await asyncio.sleep(0.005)
    saved = await backend.load_state("it")
    due = saved["wake_at"]
    store = Shelf(saved)
    first.cancel()
    await asyncio.wait([first])
    await asyncio.sleep(max(due - time.time(), 0))
    assert await nap(orchestration_backend=DurableBackend(store), instance_id="it") == "after"
    assert ran == ["before", "after"]
    assert "SLEEPING" not in store.statuses


class Shelf(StateStore):
    """A store of a user's own: two methods."""

    def __init__(self, state=None) -> None:
        self.state = state
        self.statuses: list[str] = []

    async def load(self, instance_id):
        return self.state

    async def save(self, instance_id, state):
        self.state = state
        self.statuses.append(state.get("status"))


class Switchboard(OrchestrationBackend):
    """A backend of a user's own: three methods."""

    def __init__(self) -> None:
        self.states: dict[str, object] = {}
        self.events: dict[tuple[str, str], asyncio.Future[object]] = {}

    async def load_state(self, instance_id):
        return self.states.get(instance_id)

    async def save_state(self, instance_id, state):
        self.states[instance_id] = state

    async def wait_for_event(self, instance_id, event_name):
        return await asyncio.Event().wait()


async def test_a_backend_of_three_methods():
    switchboard = Switchboard()
    broken.append("c")
    with pytest.raises(ConnectionError):
        await three(orchestration_backend=switchboard, instance_id="it")
    broken.clear()
    assert await three(orchestration_backend=switchboard, instance_id="it") == ["a", "b", "c"]
    assert ran == ["a", "b", "c"]


async def test_a_store_of_two_methods_keeps_the_mailbox_as_well():
    @make_durable
    async def hear() -> list[object]:
        return [await wait_for_event("a"), await wait_for_event("a")]

    shelf = Shelf()
    DurableBackend(shelf).publish_event("it", "a", 1)
    with pytest.raises(PauseForEventException):
        await hear(orchestration_backend=DurableBackend(shelf), instance_id="it")
    await asyncio.wrap_future(DurableBackend(shelf).publish_event("it", "a", 2))
    assert await hear(orchestration_backend=DurableBackend(shelf), instance_id="it") == [1, 2]


async def test_a_store_of_two_methods_serves_one_who_waits():
    @make_durable
    async def hear() -> list[object]:
        return [await wait_for_event("a") for _ in range(4)]

    backend = DurableBackend(Shelf())
    calling = asyncio.create_task(hear(orchestration_backend=backend, instance_id="it", wait=True))
    for number in range(4):
        await asyncio.sleep(0.02)
        backend.publish_event("it", "a", number)
    assert await asyncio.wait_for(calling, 20) == [0, 1, 2, 3]
