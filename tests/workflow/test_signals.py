"""Signals to runs, messages between them, and values that they publish."""

import asyncio
import dataclasses

import pytest

from durable_ast import InMemoryStore, NotPersistableError, SQLiteStore, Status, Workflow
from durable_ast.stores.delegating import DelegatingStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return InMemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "s.db")


@pytest.fixture
async def wf(store):
    workflow = Workflow("s", db=store, default_retries=0)
    yield workflow
    await workflow.close()


async def until_waiting(handle):
    async with asyncio.timeout(30):
        while await handle.status() is not Status.WAITING:
            await asyncio.sleep(0.01)


async def test_each_wait_in_turn_needs_a_signal_of_its_own(wf):
    @wf.workflow(id="w")
    async def run():
        return [await wf.signal("s") for _ in range(3)]

    handle = await wf.start(run)
    for payload in (0, "", None):
        await handle.signal("s", payload)
    assert await handle.result(timeout=30) == [0, "", None]


async def test_all_who_wait_get_a_signal(wf):
    @wf.workflow(id="w")
    async def run():
        async def twice(number):
            return number, await wf.signal("s"), await wf.signal("s")

        return await asyncio.gather(twice(1), twice(2), twice(3))

    handle = await wf.start(run)
    await until_waiting(handle)
    assert await wf.complete("w", "s", "first")
    async with asyncio.timeout(30):
        while not await wf.complete("w", "s", "second"):
            await asyncio.sleep(0.01)
    assert await handle.result(timeout=30) == [(n, "first", "second") for n in (1, 2, 3)]


async def test_complete_tells_whether_it_was_taken(wf):
    @wf.workflow(id="w")
    async def run():
        first = await wf.signal("a")
        return first, await wf.signal("b")

    assert await wf.complete("w", "a", 1)
    assert not await wf.complete("w", "a", 2)
    handle = await wf.start(run)
    await until_waiting(handle)
    assert not await wf.complete("w", "a", 3), "it was delivered, and nobody waits for another"
    assert await wf.complete("w", "b")
    assert await handle.result(timeout=30) == (1, {})
    assert not await wf.complete("w", "c"), "the run has ended"


async def test_only_one_of_many_completes(wf):
    taken = await asyncio.gather(*(wf.complete("w", "s", number) for number in range(20)))
    assert sum(taken) == 1


@dataclasses.dataclass
class Answer:
    yes: bool


async def test_a_payload_has_the_type_that_is_wanted(wf):
    pytest.importorskip("pydantic")

    @wf.workflow(id="w")
    async def run():
        first = await wf.signal("a", type=Answer)
        try:
            await wf.signal("b", type=Answer)
        except ValueError as error:
            return first, await wf.signal("b", type=Answer), type(error).__name__

    handle = await wf.start(run)
    await handle.signal("a", {"yes": True})
    await handle.signal("b", {"nonsense": 1})
    await handle.signal("b", Answer(False))
    assert await handle.result(timeout=30) == (Answer(True), Answer(False), "ValidationError")


async def test_a_time_limit_goes_on_while_no_process_runs(store):
    def process():
        wf = Workflow("s", db=store)

        @wf.workflow(id="w")
        async def run():
            try:
                return await wf.signal("s", timeout=0.2)
            except TimeoutError as error:
                return str(error)

        return wf, run

    wf, run = process()
    await until_waiting(await wf.start(run))
    await wf.runs.stop()
    await asyncio.sleep(0.3)
    wf, run = process()
    assert await asyncio.wait_for(run(), 30) == "no signal 's' within the time"
    await wf.close()


async def test_outside_of_a_workflow(wf):
    with pytest.raises(RuntimeError, match="this is no workflow"):
        await wf.signal("s")
    with pytest.raises(RuntimeError, match="this is no workflow"):
        await wf.set_event("s", 1)


async def test_a_signal_is_waited_for_in_the_middle_of_a_step(wf):
    calls = []

    @wf.task(retries=1)
    async def ask():
        calls.append("asked")
        answers = [await wf.signal("s"), await wf.signal("s")]
        if len(calls) == 1:
            raise OSError("after the signals")
        return answers

    @wf.workflow(id="w")
    async def run():
        return await ask()

    handle = await wf.start(run)
    for payload in (1, 2):
        await handle.signal("s", payload)
    assert await handle.result(timeout=30) == [1, 2]
    assert calls == ["asked", "asked"]


async def test_messages_between_runs_are_sent_once(wf):
    crashed = [False]

    @wf.task
    async def step():
        if not crashed[0]:
            crashed[0] = True
            raise OSError("crash")

    @wf.task
    async def announce(name):
        await wf.send("receiver", name, "from a step")
        await step()

    @wf.workflow(id="sender")
    async def sender():
        for number in range(3):
            await wf.send("receiver", "s", number)
        await announce("s")
        await wf.send("receiver", "s", "end")

    @wf.workflow(id="receiver")
    async def receiver():
        got = []
        while not got or got[-1] != "end":
            got.append(await wf.signal("s"))
        return got

    with pytest.raises(OSError, match="crash"):
        await sender()
    await sender()
    assert await receiver() == [0, 1, 2, "from a step", "end"]


async def test_values_are_published(wf):
    @wf.workflow(id="w")
    async def run():
        await wf.set_event("stage", "begun")
        await wf.signal("go")
        await wf.set_event("stage", ["done"])

    with pytest.raises(TimeoutError, match="has published no 'stage'"):
        await wf.get_event("w", "stage", timeout=0.05)
    reading = asyncio.create_task(wf.get_event("w", "stage", timeout=30))
    handle = await wf.start(run)
    assert await reading == "begun"
    await handle.signal("go")
    await handle.result(timeout=30)
    assert await handle.event("stage") == ["done"]


class Counting(DelegatingStore):
    """Notes what it is asked of one run."""

    def __init__(self, inner):
        super().__init__(inner)
        self.asked = []

    def noted(self, name):
        def method(*args):
            self.asked.append(name)
            return getattr(self.inner, name)(*args)

        return method

    def __getattribute__(self, name):
        return (
            self.noted(name)
            if name in ("read", "messages", "parts", "offer", "complete")
            else super().__getattribute__(name)
        )


async def test_to_complete_is_one_question_to_the_store(tmp_path):
    counting = Counting(SQLiteStore(tmp_path / "s.db"))
    wf = Workflow("s", db=counting)
    assert await wf.complete("w", "a") and not await wf.complete("w", "a")
    assert counting.asked == ["complete", "complete"]
    await wf.close()


class Connection:
    """Belongs to this process."""

    def __reduce__(self):
        raise TypeError("a connection cannot be pickled")


@pytest.mark.parametrize("how", ["complete", "signal", "send", "send from a run", "set_event"])
async def test_a_payload_that_cannot_be_saved_is_named(how):
    wf = Workflow("shop", db=InMemoryStore(), default_retries=0)

    @wf.workflow(id="sender")
    async def sender():
        await (wf.set_event("go", Connection()) if how == "set_event" else wf.send("it", "go", Connection()))

    sending = {
        "complete": lambda: wf.complete("it", "go", Connection()),
        "signal": lambda: wf.handle("it").signal("go", Connection()),
        "send": lambda: wf.send("it", "go", Connection()),
    }
    with pytest.raises(NotPersistableError, match=r"payload of .*'go'.*\(Connection\) cannot be saved \(TypeError"):
        await sending.get(how, sender)()
    await wf.close()
