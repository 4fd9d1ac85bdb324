"""A user's own `Store`, with its seven methods, keeps whole runs."""

import asyncio
import json

import pytest

from durable_ast import CorruptStateError, Store, StoreError, Workflow


class JsonStore(Store):
    """Keeps JSON text, and remembers how runs ended."""

    def __init__(self):
        self.steps, self.signals, self.ended = {}, {}, []
        self.setups = 0

    async def setup(self):
        self.setups += 1

    async def get_step(self, run_id, step_id):
        text = self.steps.get((run_id, step_id))
        return text is not None, None if text is None else json.loads(text)

    async def set_step(self, run_id, step_id, result, attempt=1):
        assert self.setups == 1
        self.steps[run_id, step_id] = json.dumps(result)

    async def mark_run_done(self, run_id):
        self.ended.append((run_id, "done"))

    async def mark_run_failed(self, run_id, error):
        self.ended.append((run_id, error.splitlines()[-1]))

    async def get_signal(self, run_id, name):
        text = self.signals.get((run_id, name))
        return text is not None, None if text is None else json.loads(text)

    async def set_signal(self, run_id, name, payload):
        if (run_id, name) in self.signals:
            return False
        self.signals[run_id, name] = json.dumps(payload)
        return True


LOG = []


@pytest.fixture(autouse=True)
def _empty():
    LOG.clear()


def shop(store, *, fails=False):
    wf = Workflow("shop", db=store, default_retries=0)

    @wf.task
    async def fetch(order_id):
        LOG.append("fetch")
        return {order_id, "item"}

    @wf.task
    async def ship(items):
        LOG.append("ship")
        if fails:
            raise OSError("no van")
        return len(items)

    @wf.workflow(id="order-{order_id}")
    async def order(order_id):
        items = await fetch(order_id)
        return await ship(items)

    return order


async def test_a_run_is_kept_and_goes_on():
    store = JsonStore()
    with pytest.raises(OSError, match="no van"):
        await shop(store, fails=True)("7")
    assert await shop(Copy(store))("7") == 2
    assert LOG == ["fetch", "ship", "ship"]
    assert store.ended == [("order-7", "OSError: no van"), ("order-7", "done")]
    assert await shop(Copy(store))("7") == 2
    assert LOG == ["fetch", "ship", "ship"]


def approvals(store):
    wf = Workflow("approvals", db=store)

    @wf.workflow(id="w")
    async def approve():
        return [await wf.signal("a"), await wf.signal("b")]

    return wf, approve


@pytest.mark.parametrize("early", [True, False])
async def test_a_signal_comes_from_another_process(early):
    store = JsonStore()
    _, approve = approvals(store)
    there = Workflow("approvals", db=Copy(store))
    if early:
        assert await there.complete("w", "b", 0)
    run = asyncio.create_task(approve())
    await asyncio.sleep(0.05)
    assert await there.complete("w", "a", {"ok": True})
    assert not await there.complete("w", "a", {"ok": False})
    if not early:
        await there.complete("w", "b", 0)
    assert await asyncio.wait_for(run, 30) == [{"ok": True}, 0]


class Copy(JsonStore):
    """The same store in another process."""

    def __init__(self, store):
        super().__init__()
        self.steps, self.signals, self.ended = store.steps, store.signals, store.ended


async def test_a_store_is_set_up_once():
    class Slow(JsonStore):
        async def setup(self):
            await asyncio.sleep(0.01)
            await super().setup()

    store = Slow()
    _, approve = approvals(store)
    runs = [asyncio.create_task(approve.run(f"w{number}")) for number in range(3)]
    await asyncio.sleep(0.1)
    for run in runs:
        run.cancel()
    await asyncio.gather(*runs, return_exceptions=True)
    assert store.setups == 1


async def test_applications_that_share_a_store_share_its_runs():
    store = JsonStore()
    begun = asyncio.Event()

    def opened():
        wf = Workflow("shop", db=store)

        @wf.task
        async def fetch():
            LOG.append("fetch")
            begun.set()
            await asyncio.sleep(0.1)
            return 1

        @wf.workflow(id="order")
        async def order():
            return await fetch()

        return order

    first = asyncio.create_task(opened()())
    await begun.wait()
    assert [await opened()(), await first] == [1, 1]
    assert LOG == ["fetch"]


async def test_methods_that_are_not_async_are_told():
    class Sync(JsonStore):
        def setup(self):
            pass

    _, approve = approvals(Sync())
    with pytest.raises(StoreError, match=r"Sync.setup\(\) must be an async function"):
        await approve()


async def test_a_state_that_was_damaged_is_told():
    store = JsonStore()
    _, approve = approvals(store)
    store.steps["w", "durable_ast.state"] = '"nonsense"'
    with pytest.raises(CorruptStateError, match="of run 'w' does not hold what was stored there"):
        await approve()


async def test_all_stores_of_the_library_have_the_seven_methods(tmp_path):
    from durable_ast import InMemoryStore, SQLiteStore

    for store in (InMemoryStore(), SQLiteStore(tmp_path / "s.db")):
        assert isinstance(store, Store)
        await store.setup()
        await store.set_step("r", "s", [1])
        assert await store.get_step("r", "s") == (True, [1])
        assert await store.set_signal("r", "n", 0)
        assert await store.get_signal("r", "n") == (True, 0)


async def test_a_process_that_works_on_all_runs_finds_signals_that_others_set():
    store = JsonStore()
    wf = Workflow("shop", db=store)

    @wf.workflow(id="run-{number}")
    async def run(number):
        return number, await wf.signal("go")

    await wf.recover()
    handles = [await wf.start(run, number) for number in range(3)]
    async with asyncio.timeout(30):
        while [await handle.status() for handle in handles] != ["WAITING"] * 3:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert await wf.complete("run-0", "go", "completed")
    assert await store.set_signal("run-1", "go", "set")
    await handles[2].signal("go", "sent")
    results = [await handle.result(timeout=30) for handle in handles]
    assert results == [(0, "completed"), (1, "set"), (2, "sent")]
    await wf.close()
