"""Runs that runs have started: awaited, or in the background with what becomes of them."""

import asyncio

import pytest

from durable_ast import InMemoryStore, InstanceConflictError, SQLiteStore, Status, Workflow


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return InMemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "s.db")


class Family:
    """A process with a workflow that starts others, and what they have done."""

    def __init__(self, store):
        self.wf = Workflow("family", db=store, default_retries=0)
        self.log = []
        wf, log = self.wf, self.log

        @wf.task
        async def note(what):
            log.append(what)

        @wf.workflow(id="child-{name}")
        async def child(name):
            try:
                return name, await wf.signal("go")
            except asyncio.CancelledError:
                await note(f"{name} cleans up")
                raise

        @wf.workflow(id="parent-{on_cancel}")
        async def parent(on_cancel):
            await wf.start(child, on_cancel, on_cancel=on_cancel)
            await wf.signal("go")

        @wf.workflow(id="awaits")
        async def awaits():
            return await child("awaited")

        self.child, self.parent, self.awaits = child, parent, awaits

    async def reached(self, run_id, status):
        async with asyncio.timeout(60):
            while (await self.wf.list(prefix=run_id, status=status)) == []:
                await asyncio.sleep(0.01)


ENDS = {"leave": [], "cancel": ["cancel cleans up"], "terminate": []}


@pytest.mark.parametrize("in_memory", [True, False])
@pytest.mark.parametrize("how", ["cancel", "terminate"])
@pytest.mark.parametrize("on_cancel", ENDS)
async def test_what_becomes_of_a_run_in_the_background(store, on_cancel, how, in_memory):
    family = Family(store)
    if not in_memory:
        await family.wf.recover()
    parent = await family.wf.start(family.parent, on_cancel)
    await family.reached(f"child-{on_cancel}", "WAITING")
    await family.reached(f"parent-{on_cancel}", "WAITING")
    await getattr(parent, how)()
    with pytest.raises(asyncio.CancelledError):
        await parent.result(timeout=60)
    child = family.wf.handle(f"child-{on_cancel}")
    if on_cancel == "leave":
        await child.signal("go", 1)
        assert await child.result(timeout=60) == ("leave", 1)
    else:
        with pytest.raises(asyncio.CancelledError):
            await child.result(timeout=60)
        assert await child.status() is Status.CANCELLED
    assert family.log == ENDS[on_cancel]
    await family.wf.close()


async def test_a_parent_that_nobody_runs(store):
    family = Family(store)
    parent = await family.wf.start(family.parent, "cancel")
    await family.reached("child-cancel", "WAITING")
    await family.reached("parent-cancel", "WAITING")
    await family.wf.runs.stop()
    later = Family(store)
    await later.wf.handle(parent.id).terminate()
    await later.wf.recover()
    with pytest.raises(asyncio.CancelledError):
        await later.wf.handle("child-cancel").result(timeout=60)
    assert later.log == ["cancel cleans up"]
    await later.wf.close()


async def test_a_run_that_is_awaited_is_cancelled_with_its_parent(store):
    family = Family(store)
    parent = await family.wf.start(family.awaits)
    await family.reached("child-awaited", "WAITING")
    await parent.cancel()
    with pytest.raises(asyncio.CancelledError):
        await parent.result(timeout=60)
    assert await family.wf.handle("child-awaited").status() is Status.CANCELLED
    assert family.log == ["awaited cleans up"]
    await family.wf.close()


async def test_nonsense_is_refused(store):
    family = Family(store)
    with pytest.raises(ValueError, match="on_cancel must be one of"):
        await family.wf.start(family.child, "x", on_cancel="maybe")
    with pytest.raises(ValueError, match="is about the run that starts 'child-x', and this is no run"):
        await family.wf.start(family.child, "x", on_cancel="cancel")
    await family.wf.close()


@pytest.mark.parametrize("how", ["itself", "in a task", "in a branch"])
async def test_a_run_that_would_wait_for_itself_is_refused(store, how):
    wf = Workflow("shop", db=store, default_retries=0)

    @wf.task
    async def again():
        return await order()

    @wf.workflow(id="order")
    async def order():
        if how == "itself":
            return await order()
        if how == "in a task":
            return await again()
        return await asyncio.gather(order(), asyncio.sleep(0))

    async with asyncio.timeout(30):
        with pytest.raises(InstanceConflictError, match=r"'order' .* calls itself"):
            await order()
    await wf.close()


async def test_a_run_may_call_its_workflow_with_another_id(store):
    wf = Workflow("shop", db=store, default_retries=0)

    @wf.workflow(id="down-{number}")
    async def down(number):
        return [number, *await down(number - 1)] if number else [0]

    assert await down(3) == [3, 2, 1, 0]
    await wf.close()
