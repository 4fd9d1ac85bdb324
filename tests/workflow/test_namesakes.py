"""Workflows that make the same id: each has a run of its own."""

import asyncio

import pytest

from durable_ast import InMemoryStore, InstanceConflictError, RunContext, SQLiteStore, Status, Workflow


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return InMemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "s.db")


class Shop:
    """Two workflows of one id, and what they have done."""

    def __init__(self, store):
        self.wf = Workflow("shop", db=store, default_retries=0)
        self.log = []
        wf, log = self.wf, self.log

        @wf.task
        async def step(what):
            log.append(what)
            return what

        @wf.workflow(id="{number}")
        async def order(number, waits=False):
            await step("order")
            return "order", RunContext.current().run_id, await wf.signal("go") if waits else None

        @wf.workflow(id="{number}")
        async def refund(number, waits=False):
            await step("refund")
            return "refund", RunContext.current().run_id, await wf.signal("go") if waits else None

        self.order, self.refund = order, refund
        self.other = f"7 ({refund.program.label})"

    async def reached(self, handle, status=Status.WAITING):
        async with asyncio.timeout(30):
            while await handle.status() is not status:
                await asyncio.sleep(0.01)


@pytest.fixture
async def shop(store):
    made = Shop(store)
    yield made
    await made.wf.close()


async def test_each_runs_and_keeps_its_outcome(shop):
    for _ in range(2):
        assert await shop.order(7) == ("order", "7", None)
        assert await shop.refund(7) == ("refund", shop.other, None)
    assert shop.log == ["order", "refund"]
    assert [run.id for run in await shop.wf.list(prefix="7")] == [shop.other, "7"]
    with pytest.raises(InstanceConflictError, match="other arguments"):
        await shop.refund(7, waits=True)


async def test_each_has_its_handle_and_its_signals(shop):
    order, refund = [await shop.wf.start(fn, 7, waits=True) for fn in (shop.order, shop.refund)]
    assert (order.id, refund.id) == ("7", shop.other)
    for handle in (order, refund):
        await shop.reached(handle)
    with pytest.raises(InstanceConflictError, match="several runs of the id '7' wait for the signal 'go'"):
        await shop.wf.complete("7", "go", "whose?")
    await refund.signal("go", 2)
    assert await refund.result(timeout=30) == ("refund", shop.other, 2)
    assert await shop.wf.complete("7", "go", 1)
    assert await order.result(timeout=30) == ("order", "7", 1)
    assert not await shop.wf.complete("7", "go", 1)


async def test_a_signal_goes_to_the_run_that_has_not_ended(shop):
    await shop.order(7)
    handle = await shop.wf.start(shop.refund, 7, waits=True)
    await shop.reached(handle)
    assert await shop.wf.complete("7", "go", 1)
    assert await handle.result(timeout=30) == ("refund", shop.other, 1)


async def test_a_run_is_found_again_when_its_namesake_is_gone(shop):
    await shop.order(7)
    await shop.refund(7)
    await shop.wf.handle("7").delete()
    assert await shop.refund(7) == ("refund", shop.other, None)
    assert await shop.order(7) == ("order", "7", None)
    assert shop.log == ["order", "refund", "order"]


async def test_a_restart_leaves_the_other_alone(shop):
    await shop.order(7)
    handle = await shop.wf.start(shop.refund, 7, on_conflict="restart")
    assert await handle.result(timeout=30) == ("refund", shop.other, None)
    assert await (await shop.wf.start(shop.refund, 7, on_conflict="restart")).result(timeout=30)
    assert await shop.wf.handle("7").result() == ("order", "7", None)
    assert shop.log == ["order", "refund", "refund"]


async def test_they_begin_at_once(shop):
    results = await asyncio.gather(*(fn(7) for _ in range(5) for fn in (shop.order, shop.refund)))
    assert {result[0] for result in results} == {"order", "refund"}
    assert sorted(shop.log) == ["order", "refund"]


async def test_workflows_that_one_function_makes(store):
    def made(name):
        wf = Workflow(name, db=store)

        @wf.workflow(id="it")
        async def run():
            return name

        return run

    assert [await made(name)() for name in ("one", "other", "one", "other")] == ["one", "other", "one", "other"]


async def test_names_with_dashes(store):
    dashed, plain = Workflow("a-b", db=store), Workflow("a", db=store)

    @dashed.workflow
    async def c():
        return "c"

    @plain.workflow
    async def b(x):
        return "b", x

    assert (await c(), await b("c"), await c()) == ("c", ("b", "c"), "c")
