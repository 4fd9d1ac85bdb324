"""A backend of a user's own: `load_state`, `save_state`, `wait_for_event`."""

import asyncio
import copy

import pytest

from durable_ast import DurableRuntime, OrchestrationBackend, PauseForEventException, make_durable, wait_for_event

ran: list[object] = []


@pytest.fixture(autouse=True)
def _fresh():
    ran.clear()


class Switchboard(OrchestrationBackend):
    """Keeps states in a dictionary, and events in queues."""

    def __init__(self) -> None:
        self.states: dict[str, object] = {}
        self.queues: dict[tuple[str, str], asyncio.Queue[object]] = {}

    def queue(self, instance_id, event_name):
        return self.queues.setdefault((instance_id, event_name), asyncio.Queue())

    async def load_state(self, instance_id):
        return copy.deepcopy(self.states.get(instance_id))

    async def save_state(self, instance_id, state):
        self.states[instance_id] = copy.deepcopy(state)

    async def wait_for_event(self, instance_id, event_name):
        return await self.queue(instance_id, event_name).get()


async def step(value):
    ran.append(value)
    return value


@make_durable
async def hear(times: int) -> list[object]:
    return [await step(await wait_for_event("a")) for _ in range(times)]


@pytest.fixture
def switchboard():
    return Switchboard()


async def test_events_arrive_while_the_call_waits(switchboard):
    switchboard.queue("it", "a").put_nowait(0)
    calling = asyncio.create_task(hear(3, orchestration_backend=switchboard, instance_id="it", wait=True))
    for number in (None, False):
        await asyncio.sleep(0.02)
        switchboard.queue("it", "a").put_nowait(number)
    assert await asyncio.wait_for(calling, 20) == ran == [0, None, False]


async def test_events_arrive_between_calls(switchboard):
    for number in range(3):
        with pytest.raises(PauseForEventException) as pause:
            await hear(3, orchestration_backend=switchboard, instance_id="it")
        assert pause.value.event == "a"
        switchboard.queue("it", "a").put_nowait(number)
    assert await hear(3, orchestration_backend=switchboard, instance_id="it") == ran == [0, 1, 2]


async def test_a_runtime_waits_for_an_event_and_goes_on(switchboard):
    runtime = DurableRuntime(hear, switchboard, "it")
    with pytest.raises(PauseForEventException):
        await runtime.run(1)
    switchboard.queue("it", "a").put_nowait("payload")
    assert await runtime.wait_for_event("a") == ["payload"]


async def test_two_calls_at_once_run_it_once(switchboard):
    calls = [
        asyncio.create_task(hear(2, orchestration_backend=switchboard, instance_id="it", wait=True)) for _ in range(3)
    ]
    await asyncio.sleep(0.02)
    switchboard.queue("it", "a").put_nowait(1)
    switchboard.queue("it", "a").put_nowait(2)
    assert await asyncio.wait_for(asyncio.gather(*calls), 20) == [[1, 2]] * 3
    assert ran == [1, 2]


async def test_a_backend_that_fails_to_deliver(switchboard):
    async def broken(instance_id, event_name):
        raise ConnectionError("no line")

    switchboard.wait_for_event = broken
    with pytest.raises(ConnectionError, match="no line"):
        await hear(1, orchestration_backend=switchboard, instance_id="it")
    del switchboard.wait_for_event
    switchboard.queue("it", "a").put_nowait("at last")
    assert await hear(1, orchestration_backend=switchboard, instance_id="it") == ["at last"]
