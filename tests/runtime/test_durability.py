"""How far checkpoints may be behind what has happened."""

import asyncio

import pytest

from durable_ast import (
    Durability,
    DurableBackend,
    InMemoryStateStore,
    PauseForEventException,
    SQLiteStore,
    StateStore,
    StoreError,
    make_durable,
    wait_for_event,
)

ran: list[int] = []


@pytest.fixture(autouse=True)
def _fresh():
    ran.clear()


async def step(number: int) -> int:
    ran.append(number)
    return number


async def count(steps: int) -> int:
    total = 0
    for number in range(steps):
        try:
            total += await step(number)
        except Exception:
            total += 1_000_000  # what befalls the store is nothing that user code should see
    return total


async def count_and_pause(steps: int) -> int:
    total = await count(steps)
    await wait_for_event("go on")
    return total


class Gate(StateStore):
    """A store that writes when it is let, and fails from some write on."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.states: dict[str, object] = {}
        self.writes = 0
        self.fails_at = fails_at
        self.open = asyncio.Event()

    async def load(self, instance_id):
        return self.states.get(instance_id)

    async def save(self, instance_id, state):
        if instance_id in self.states:
            await self.open.wait()
        self.writes += 1
        if self.fails_at is not None and self.writes >= self.fails_at:
            raise OSError("the disk is gone")
        self.states[instance_id] = state


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(200):
        await asyncio.sleep(0)


def start(store: StateStore, durability: Durability, function=count, steps: int = 100) -> asyncio.Task[int]:
    program = make_durable(function, durability=durability)
    return asyncio.create_task(program(steps, orchestration_backend=DurableBackend(store), instance_id="it"))


@pytest.mark.parametrize(
    ("durability", "ahead"), [(Durability.STRICT, 1), (Durability.RELAXED, 32), (Durability.PAUSES, 100)]
)
async def test_how_many_steps_run_while_nothing_is_written(durability, ahead):
    gate = Gate()
    task = start(gate, durability)
    await settle()
    assert ran == list(range(ahead))
    assert not task.done()
    gate.open.set()
    assert await task == 4950
    assert gate.states["it"]["status"] == "SUCCESS"


async def test_a_pause_waits_for_what_trails_behind():
    gate = Gate()
    task = start(gate, Durability.RELAXED, count_and_pause, steps=5)
    await settle()
    assert ran == list(range(5))
    assert not task.done()
    gate.open.set()
    with pytest.raises(PauseForEventException):
        await task
    assert gate.states["it"]["status"] == "WAITING"
    backend = DurableBackend(gate)
    backend.publish_event("it", "go on")
    assert await make_durable(count_and_pause)(5, orchestration_backend=backend, instance_id="it") == 10
    assert ran == list(range(5))


@pytest.mark.parametrize("durability", list(Durability))
@pytest.mark.parametrize("function", [count, count_and_pause])
async def test_a_store_that_fails_stops_the_run(durability, function):
    """The caller learns of it; user code does not, and cannot swallow it; the end is not stored."""
    gate = Gate(fails_at=2)
    gate.open.set()
    with pytest.raises(StoreError, match=r"'it'.*the disk is gone"):
        await start(gate, durability, function, steps=20)
    assert gate.states["it"]["status"] == "RUNNING"
    gate.fails_at = None
    if function is count:
        assert await start(gate, durability, steps=20) == 190
    else:
        with pytest.raises(PauseForEventException):
            await start(gate, durability, function, steps=20)


@pytest.mark.parametrize("durability", list(Durability))
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_many_at_once(tmp_path, durability, kind):
    store = InMemoryStateStore() if kind == "memory" else SQLiteStore(tmp_path / "x.db")
    program = make_durable(count, durability=durability)
    backend = DurableBackend(store)
    totals = await asyncio.gather(
        *(program(40, orchestration_backend=backend, instance_id=f"it-{number}") for number in range(50))
    )
    assert totals == [780] * 50
    assert len(ran) == 2000
