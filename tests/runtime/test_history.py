"""Earlier checkpoints, kept on request."""

import asyncio

import pytest

from durable_ast import (
    DurableBackend,
    PauseForEventException,
    SQLiteStore,
    StateStore,
    Status,
    UnknownRunError,
    Workflow,
    make_durable,
    open_store,
    step,
    wait_for_event,
)
from durable_ast.inspection.stacks import saved_history
from durable_ast.inspection.view import view_of
from durable_ast.runtime.handle import InstanceHandle


@step
async def double(number):
    return 2 * number


async def count(limit):
    total = 0
    for number in range(limit):
        doubled = await double(number)
        total += doubled
        await wait_for_event("on")
    return total


async def history(backend, instance_id="it"):
    return await InstanceHandle(backend, instance_id).history()


async def run(program, backend, *args):
    """From event to event, each time as another process would."""
    while True:
        try:
            return await program(*args, orchestration_backend=backend, instance_id="it")
        except PauseForEventException:
            await asyncio.wrap_future(backend.publish_event("it", "on"))


async def test_all_checkpoints_are_kept_through_every_resume(tmp_path):
    for _ in range(2):
        backend = DurableBackend(SQLiteStore(tmp_path / "it.db"))
        await run(make_durable(count, history="all"), backend, 3)
    moments = await history(backend)
    assert [moment.number for moment in moments] == list(range(len(moments)))
    assert [moment.locals["total"] for moment in moments if moment.awaited] == [0, 2, 6]
    assert moments[0].locals == {"limit": 3}
    assert (moments[-1].status, moments[-1].locals) == (Status.SUCCESS, {})
    assert moments == sorted(moments, key=lambda moment: moment.time)


@pytest.mark.parametrize("keep", [1, 2, 5])
async def test_only_as_many_as_were_asked_for_are_kept(keep):
    backend = DurableBackend()
    await run(make_durable(count, history=keep), backend, 10)
    moments = await history(backend)
    last = moments[-1].number
    assert [moment.number for moment in moments] == list(range(last - keep + 1, last + 1))


async def test_none_but_the_last_is_kept_where_nobody_asked():
    backend = DurableBackend()
    await run(make_durable(count), backend, 3)
    assert [moment.status for moment in await history(backend)] == [Status.SUCCESS]


async def test_fewer_are_kept_once_fewer_are_wanted():
    backend = DurableBackend()
    with pytest.raises(PauseForEventException):
        await make_durable(count, history="all")(9, orchestration_backend=backend, instance_id="it")
    await run(make_durable(count, history=3), backend, 9)
    assert len(await history(backend)) == 3


async def test_what_is_equal_is_stored_once():
    @make_durable(history="all")
    async def carry():
        large = [f"line {number}" for number in range(50_000)]
        for number in range(20):
            large[number * 1000] = await double(number)
        return len(large)

    backend = DurableBackend()
    assert await run(carry, backend) == 50_000
    parts = await backend.store.parts("it", "h/")
    whole = max(map(len, parts.values()))
    assert sum(map(len, parts.values())) < 1.2 * whole
    moments = await history(backend)
    assert [moment.locals["large"][5000] for moment in moments[5:9]] == ["line 5000", "line 5000", 10, 10]


async def test_branches_are_kept_with_it():
    async def arm(name):
        seen = []
        for number in range(3):
            doubled = await double(number)
            seen.append((name, doubled))
        return seen

    @make_durable(history="all")
    async def both():
        return await asyncio.gather(arm("left"), arm("right"))

    backend = DurableBackend()
    await run(both, backend)
    views = [view_of(saved) for saved in await saved_history(backend.store, "it")]
    assert all(view.note is None for view in views)
    seen = {variable.text for view in views for branch in view.branches for variable in branch.frames[0].variables}
    assert {"'left'", "'right'", "[('left', 0), ('left', 2)]"} <= seen


async def test_a_store_of_two_methods_keeps_it_too():
    class Shelf(StateStore):
        def __init__(self):
            self.states = {}

        async def load(self, instance_id):
            return self.states.get(instance_id)

        async def save(self, instance_id, state):
            self.states[instance_id] = state

    backend = DurableBackend(Shelf())
    await run(make_durable(count, history="all"), backend, 3)
    assert [moment.locals["total"] for moment in await history(backend) if moment.awaited] == [0, 2, 6]


async def test_it_is_signed_and_encrypted_like_the_rest(tmp_path):
    keys = {"signing_key": "secret", "encryption_key": b"k" * 32}
    backend = DurableBackend(open_store(tmp_path / "it.db", **keys))
    await run(make_durable(count, history="all"), backend, 3)
    assert [moment.locals["total"] for moment in await history(backend) if moment.awaited] == [0, 2, 6]


async def test_an_error_and_what_came_after_it_are_kept():
    is_broken = True

    @step
    async def pay():
        if is_broken:
            raise OSError("no network")
        return 7

    @make_durable(history="all")
    async def order():
        return await pay()

    backend = DurableBackend()
    with pytest.raises(OSError, match="no network"):
        await order(orchestration_backend=backend, instance_id="it")
    is_broken = False
    assert await order(orchestration_backend=backend, instance_id="it") == 7
    moments = await history(backend)
    assert [moment.status for moment in moments if moment.error] == [Status.ERROR]
    assert moments[-1].status is Status.SUCCESS


async def test_the_runs_of_a_workflow_have_it(tmp_path):
    wf = Workflow("history", db=tmp_path / "it.db", history="all")

    @wf.workflow(id="it")
    async def twice():
        first = await double(1)
        return await double(first)

    assert await twice() == 4
    assert len(await history(wf.backend)) == 4


async def test_there_is_none_of_an_instance_that_is_not_there():
    with pytest.raises(UnknownRunError):
        await history(DurableBackend())


@pytest.mark.parametrize("history", [0, -1, "some", 2.5, True])
def test_nonsense_is_refused(history):
    with pytest.raises(ValueError, match="history must be"):
        make_durable(count, history=history)


async def test_the_branches_of_a_run_that_was_terminated_are_seen_as_they_stood(tmp_path):
    wf = Workflow("history", db=tmp_path / "it.db", history="all")

    async def arm(name):
        seen = [await double(7)]
        return await wf.signal(name), seen

    @wf.workflow(id="it")
    async def both():
        return await asyncio.gather(arm("left"), arm("right"))

    handle = await wf.start(both)
    while await handle.status() is not Status.WAITING:
        await asyncio.sleep(0.01)
    await handle.pause()
    while await handle.status() is not Status.PAUSED:
        await asyncio.sleep(0.01)
    await handle.terminate()
    saved = await saved_history(wf.instances, "it")
    assert saved[-1].record.status is Status.CANCELLED
    views = [view_of(each) for each in saved]
    assert all(view.note is None for view in views)
    last = next(view for view in reversed(views) if view.branches)
    assert [variable.text for branch in last.branches for variable in branch.frames[0].variables] == ["[14]", "[14]"]
