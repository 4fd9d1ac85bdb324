"""Runs from the outside: their outcomes, their variables, and what can be asked of them."""

import asyncio
import pickle

import pytest

from durable_ast import (
    InMemoryStore,
    InstanceConflictError,
    ParkedError,
    SQLiteStore,
    Status,
    UnknownRunError,
    Workflow,
)
from durable_ast.state import snapshot
from durable_ast.stores.claiming import InstanceBusy
from durable_ast.stores.delegating import DelegatingStore


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return InMemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "s.db")


class Shop:
    """A process with a workflow that waits, and what it has done."""

    def __init__(self, store):
        self.wf = Workflow("shop", db=store, default_retries=0)
        self.log = []
        wf, log = self.wf, self.log

        @wf.task
        async def step(name):
            log.append(name)
            try:
                await asyncio.sleep(0.01 if name != "long" else 60)
            except asyncio.CancelledError:
                log.append(f"{name} was cancelled")
                raise

        @wf.workflow(id="order-{order_id}")
        async def order(order_id, where="signal"):
            basket = {"items": [order_id]}
            try:
                await step("begin")
                if where == "signal":
                    answer = await wf.signal("go")
                elif where == "sleep":
                    answer = await asyncio.sleep(60, "slept")
                elif where == "step":
                    answer = await step("long")
                else:
                    answer = await asyncio.gather(step("long"), wf.signal("go"))
                return basket["items"], answer
            finally:
                await step("clean up")

        self.order = order

    async def reached(self, handle, *statuses):
        async with asyncio.timeout(30):
            while await handle.status() not in statuses:
                await asyncio.sleep(0.01)


@pytest.fixture
async def shop(store):
    made = Shop(store)
    yield made
    await made.wf.close()


async def test_a_run_is_started_and_followed(shop):
    handle = await shop.wf.start(shop.order, 7)
    assert handle.id == "order-7"
    assert await handle.status() in (Status.ENQUEUED, Status.RUNNING)
    await shop.reached(handle, Status.WAITING)
    assert (await handle.info()).awaited == ("go",)
    assert await handle.locals() == {"basket": {"items": [7]}}
    with pytest.raises(TimeoutError, match="run 'order-7' has not ended within"):
        await handle.result(timeout=0.01)
    await handle.signal("go", "yes")
    assert await handle.result(timeout=30) == ([7], "yes")
    assert await shop.wf.handle("order-7").result() == ([7], "yes")
    assert await pickle.loads(pickle.dumps(handle)).result() == ([7], "yes")


async def test_who_does_not_wait_gets_what_is_there(shop):
    handle = await shop.wf.start(shop.order, 7)
    with pytest.raises(TimeoutError, match="within 0 seconds"):
        await handle.result(timeout=0)
    await handle.signal("go")
    await handle.result(timeout=30)
    assert await shop.wf.handle("order-7").result(timeout=0) == ([7], None)
    with pytest.raises(UnknownRunError):
        await shop.wf.handle("nobody").result(timeout=0)


async def test_an_unknown_run(shop):
    handle = shop.wf.handle("nobody")
    for asked in (
        handle.status,
        handle.result,
        handle.locals,
        handle.history,
        handle.cancel,
        handle.terminate,
        handle.pause,
    ):
        with pytest.raises(UnknownRunError, match="there is no run 'nobody'"):
            await asked()
    assert not await handle.delete()


async def test_a_run_that_is_deleted_while_it_waits_stays_away(shop):
    handle = await shop.wf.start(shop.order, 7)
    await shop.reached(handle, Status.WAITING)
    async with asyncio.timeout(30):
        while not await deleted(handle):
            await asyncio.sleep(0.01)
    await handle.signal("go")
    async with asyncio.timeout(30):
        while shop.wf.runs.task(handle.id) is not None:
            await asyncio.sleep(0.01)
    with pytest.raises(UnknownRunError):
        await handle.status()
    assert shop.log == ["begin"]


async def deleted(handle):
    try:
        return await handle.delete()
    except InstanceBusy:  # it has still to leave memory
        return False


async def test_conflicts(shop):
    first = await shop.wf.start(shop.order, 7)
    assert await shop.wf.start(shop.order, 7) == first
    with pytest.raises(InstanceConflictError, match="there is a run 'order-7' already"):
        await shop.wf.start(shop.order, 7, on_conflict="reject")
    with pytest.raises(InstanceConflictError, match="other arguments"):
        await shop.wf.start(shop.order, 8, id="order-7")
    with pytest.raises(ValueError, match="on_conflict must be one of"):
        await shop.wf.start(shop.order, 7, on_conflict="maybe")
    await shop.reached(first, Status.WAITING)
    again = await shop.wf.start(shop.order, 8, id="order-7", on_conflict="restart")
    await shop.reached(again, Status.WAITING)
    await again.signal("go")
    assert await again.result(timeout=30) == ([8], None)
    assert shop.log == ["begin", "begin", "clean up"], "the first run was not unwound"


@pytest.mark.parametrize("works_on_all", [True, False])
@pytest.mark.parametrize("how", ["start", "resume"])
async def test_a_run_that_failed_goes_on_in_the_background(store, works_on_all, how):
    wf, log = Workflow("shop", db=store, default_retries=0), []

    @wf.task
    async def step(name):
        log.append(name)
        if log == ["one", "two"]:
            raise OSError("down")

    @wf.workflow(id="order")
    async def order():
        await step("one")
        await step("two")
        return "done"

    if works_on_all:
        await wf.recover()
    handle = await wf.start(order)
    with pytest.raises(OSError, match="down"):
        await handle.result(timeout=30)
    await (wf.start(order) if how == "start" else handle.resume())
    assert await handle.result(timeout=30) == "done"
    assert log == ["one", "two", "two"]
    assert (await handle.info()).error is None
    await wf.close()


async def test_a_run_that_failed_goes_on_though_its_owner_has_still_to_let_go(tmp_path):
    class Late(DelegatingStore):
        def release(self, instance_id, epoch):
            if epoch > 1:
                self.inner.release(instance_id, epoch)
            else:
                asyncio.get_running_loop().call_later(0.2, self.inner.release, instance_id, epoch)

    wf, log = Workflow("shop", db=Late(SQLiteStore(tmp_path / "s.db")), default_retries=0), []

    @wf.workflow(id="order")
    async def order():
        log.append("begun")
        if len(log) == 1:
            raise OSError("down")
        return "done"

    with pytest.raises(OSError, match="down"):
        await order()
    assert await (await wf.start(order)).result(timeout=30) == "done"
    await wf.close()


async def test_a_run_in_the_background_has_the_arguments_it_was_started_with(store):
    wf = Workflow("shop", db=store)

    @wf.workflow(id="order")
    async def order(number=1):
        return number

    handle = await wf.start(order, 2)
    assert await handle.result(timeout=30) == 2
    with pytest.raises(InstanceConflictError, match="other arguments"):
        await order()
    again = await wf.start(order, 3, on_conflict="restart")
    await again.pause()
    await again.resume()
    assert await again.result(timeout=30) == 3
    await wf.close()


@pytest.mark.parametrize("where", ["signal", "sleep", "step", "gather"])
async def test_a_run_is_cancelled_and_cleans_up(shop, where):
    handle = await shop.wf.start(shop.order, 7, where)
    async with asyncio.timeout(30):
        while "begin" not in shop.log:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    await handle.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handle.result(timeout=30)
    assert await handle.status() is Status.CANCELLED
    assert shop.log[-1] == "clean up"
    assert ("long was cancelled" in shop.log) == (where in ("step", "gather"))
    with pytest.raises(asyncio.CancelledError):
        await shop.order(7, where)
    assert shop.log.count("begin") == 1


async def test_a_run_that_nobody_runs_is_cancelled_and_cleans_up(store):
    shop = Shop(store)
    handle = await shop.wf.start(shop.order, 7)
    await shop.reached(handle, Status.WAITING)
    await shop.wf.runs.stop()
    shop = Shop(store)
    await shop.wf.handle("order-7").cancel()
    with pytest.raises(asyncio.CancelledError):
        await shop.wf.handle("order-7").result(timeout=30)
    assert shop.log == ["clean up"]
    await shop.wf.close()


@pytest.mark.parametrize("where", ["signal", "step"])
@pytest.mark.parametrize("runs", [True, False])
async def test_a_run_is_terminated_where_it_stands(shop, where, runs):
    handle = await shop.wf.start(shop.order, 7, where)
    async with asyncio.timeout(30):
        while "begin" not in shop.log:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    if not runs:
        await shop.wf.runs.stop()
    await handle.terminate()
    with pytest.raises(asyncio.CancelledError, match="was terminated"):
        await handle.result(timeout=30)
    assert await handle.status() is Status.CANCELLED
    assert "clean up" not in shop.log


@pytest.mark.parametrize("runs", [True, False])
async def test_a_run_is_paused_and_resumed(shop, runs):
    handle = await shop.wf.start(shop.order, 7)
    await shop.reached(handle, Status.WAITING)
    await asyncio.sleep(0.3)
    if not runs:
        await shop.wf.runs.stop()
    await handle.pause()
    await shop.reached(handle, Status.PAUSED)
    await handle.signal("go", "late")
    assert await shop.wf.recover() == []
    await asyncio.sleep(0.1)
    assert await handle.status() is Status.PAUSED
    await handle.resume()
    assert await handle.result(timeout=30) == ([7], "late")
    assert shop.log == ["begin", "clean up"]


async def test_a_run_that_is_resumed_before_it_has_paused_goes_on(shop):
    handle = await shop.wf.start(shop.order, 7)
    await shop.reached(handle, Status.WAITING)
    await handle.pause()
    await handle.resume()
    await handle.signal("go", "at once")
    assert await handle.result(timeout=30) == ([7], "at once")


@pytest.mark.parametrize("stands", [True, False])
async def test_a_paused_run_is_cancelled_and_cleans_up(shop, stands):
    handle = await shop.wf.start(shop.order, 7)
    await shop.reached(handle, Status.WAITING)
    await handle.pause()
    if stands:
        await shop.reached(handle, Status.PAUSED)
    await handle.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handle.result(timeout=30)
    assert shop.log == ["begin", "clean up"]


@pytest.mark.parametrize("stands", [True, False])
async def test_a_paused_run_is_terminated(shop, stands):
    handle = await shop.wf.start(shop.order, 7)
    await shop.reached(handle, Status.WAITING)
    await handle.pause()
    if stands:
        await shop.reached(handle, Status.PAUSED)
    await handle.terminate()
    with pytest.raises(asyncio.CancelledError, match="was terminated"):
        await handle.result(timeout=30)
    assert shop.log == ["begin"]


async def test_a_run_in_a_queue_is_cancelled_before_it_begins(shop):
    queue = shop.wf.queue("orders", rate=(1, 3600))
    first, second = [await queue.start(shop.order, number) for number in (1, 2)]
    await shop.reached(first, Status.WAITING)
    await second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second.result(timeout=30)
    assert shop.log == ["begin"]
    await first.signal("go")
    await first.result(timeout=30)
    await queue.stop()


async def test_a_run_that_was_put_aside_goes_on_when_it_is_resumed(shop):
    handle = await shop.wf.start(shop.order, 7)
    await shop.reached(handle, Status.WAITING)
    await shop.wf.runs.stop()
    record, _ = await shop.wf.instances.acquire(await shop.wf.instances.read(handle.id))
    record.sequence, record.status = record.sequence + 1, Status.PARKED
    record.outcome = snapshot.dumps(("error", ParkedError("its worker died")))
    writing = shop.wf.instances.commit(record, (), True)
    if writing is not None:
        await writing
    shop.wf.instances.release(record.instance_id, record.epoch)
    await shop.wf.recover()
    with pytest.raises(ParkedError, match="its worker died"):
        await handle.result(timeout=30)
    await handle.resume()
    await handle.signal("go", "on")
    assert await handle.result(timeout=30) == ([7], "on")


@pytest.mark.parametrize("asked", ["cancel", "pause"])
async def test_a_run_that_has_failed_is_not_woken_to_be_stopped(store, asked):
    wf, log = Workflow("shop", db=store, default_retries=0), []

    @wf.workflow(id="order")
    async def order():
        log.append("order")
        raise OSError("down")

    handle = await wf.start(order)
    with pytest.raises(OSError, match="down"):
        await handle.result(timeout=30)
    await getattr(handle, asked)()
    await asyncio.sleep(0.2)
    assert (await handle.status(), log) == (Status.ERROR, ["order"])
    with pytest.raises(OSError, match="down"):
        await handle.result(timeout=30)
    await wf.close()


async def test_a_run_is_paused_before_it_begins(shop):
    await shop.wf.runs.stop()
    shop.wf.begin = lambda runtime: None  # nobody works here
    handle = await shop.wf.start(shop.order, 7)
    await handle.pause()
    assert await handle.status() is Status.PAUSED
    await handle.resume()
    assert await handle.status() is Status.ENQUEUED
    await handle.pause()
    await handle.cancel()
    with pytest.raises(asyncio.CancelledError, match="cancelled before it had begun"):
        await handle.result(timeout=30)
    assert (await handle.status(), shop.log) == (Status.CANCELLED, [])


async def test_a_call_of_a_paused_run_waits_until_it_is_resumed(shop):
    handle = await shop.wf.start(shop.order, 7)
    await shop.reached(handle, Status.WAITING)
    await asyncio.sleep(0.3)
    await handle.pause()
    await shop.reached(handle, Status.PAUSED)
    call = asyncio.create_task(shop.order(7))
    await handle.signal("go", "late")
    await asyncio.sleep(0.1)
    assert not call.done()
    await handle.resume()
    assert await asyncio.wait_for(call, 30) == ([7], "late")


async def test_runs_are_recovered(store):
    shop = Shop(store)
    handles = [await shop.wf.start(shop.order, number) for number in range(3)]
    for handle in handles:
        await shop.reached(handle, Status.WAITING)
    await shop.wf.runs.stop()
    shop = Shop(store)
    recovered = await shop.wf.recover()
    assert {handle.id for handle in recovered} == {"order-0", "order-1", "order-2"}
    for handle in recovered:
        await handle.signal("go", 1)
    assert sorted([await handle.result(timeout=30) for handle in recovered]) == [([n], 1) for n in range(3)]
    assert shop.log == ["clean up"] * 3
    assert await shop.wf.recover() == []
    await shop.wf.close()


async def test_runs_are_listed(shop):
    @shop.wf.workflow(id="other-{x}")
    async def other(x):
        if x:
            raise ValueError("no")

    await other(0)
    with pytest.raises(ValueError, match="no"):
        await other(1)
    await shop.reached(await shop.wf.start(shop.order, 7), Status.WAITING)

    async def ids(**filters):
        return [run.id for run in await shop.wf.list(**filters)]

    assert await ids() == ["order-7", "other-1", "other-0"]
    assert await ids(status="WAITING") == ["order-7"]
    assert await ids(status=[Status.SUCCESS, Status.ERROR]) == ["other-1", "other-0"]
    assert await ids(workflow=other, limit=1) == ["other-1"]
    assert await ids(prefix="other-", offset=1) == ["other-0"]
    assert await ids(since=(await shop.wf.handle("order-7").info()).created_at) == ["order-7"]
    [failed] = await shop.wf.list(status="ERROR")
    assert failed.workflow.endswith("other") and "ValueError: no" in failed.error
    for wrong in ({"limit": -1}, {"offset": -1}, {"since": -1.0}):
        with pytest.raises(ValueError, match="must not be negative"):
            await ids(**wrong)
    for wrong in ({"limit": "1"}, {"since": "yesterday"}, {"workflow": 5}):
        with pytest.raises(TypeError, match="must be a"):
            await ids(**wrong)
    with pytest.raises(ValueError, match="'NONSENSE' is not a valid Status"):
        await shop.wf.list(status="NONSENSE")


async def test_the_history_of_a_run(store):
    wf = Workflow("shop", db=store, history="all")

    @wf.task
    async def buy(item):
        return f"bought {item}"

    @wf.workflow(id="order")
    async def order(items):
        bought = []
        while items:
            one = await buy(items.pop(0))
            bought.append(one)
        await wf.signal("go")
        return bought

    handle = await wf.start(order, ["tea", "mug"])
    await handle.signal("go")
    assert await handle.result(timeout=30) == ["bought tea", "bought mug"]
    moments = await handle.history()
    assert [moment.locals.get("items") for moment in moments[:2]] == [["tea", "mug"]] * 2
    assert {"items": [], "bought": ["bought tea"]} in [moment.locals for moment in moments]
    assert moments[-1].status is Status.SUCCESS
    await wf.close()
