"""A process that works on all runs: what waits is in no memory, and nothing is lost when it stops."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from durable_ast import CorruptStateError, InMemoryStore, InstanceConflictError, SQLiteStore, Status, Worker, Workflow


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return InMemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "s.db")


class Shop:
    """A process with workflows that wait, and what it has done."""

    def __init__(self, store):
        self.wf = Workflow("shop", db=store, default_retries=0)
        self.log = []
        self.gate = asyncio.Event()
        wf, log, gate = self.wf, self.log, self.gate

        @wf.task
        async def ask(number):
            log.append(f"ask {number}")
            return await wf.signal("answer")

        @wf.task
        async def work(number):
            log.append(f"work {number}")
            await gate.wait()
            log.append(f"worked {number}")

        @wf.workflow(id="order-{number}")
        async def order(number):
            log.append(f"order {number}")
            return number, await wf.signal("go")

        @wf.workflow(id="question-{number}")
        async def question(number):
            return await ask(number)

        @wf.workflow(id="long-{number}")
        async def long(number):
            await work(number)
            await work(number + 1)

        @wf.workflow(id="parent-{number}")
        async def parent(number):
            child = await wf.start(order, number)
            return await child.result()

        self.order, self.question, self.long, self.parent = order, question, long, parent

    async def reached(self, handles, status):
        async with asyncio.timeout(60):
            for handle in handles:
                while await handle.status() is not status:
                    await asyncio.sleep(0.01)


def tasks_of_runs():
    return [task for task in asyncio.all_tasks() if task.get_name().startswith(("run ", "instance "))]


async def test_what_waits_is_in_no_memory_and_goes_on(store):
    shop = Shop(store)
    await shop.wf.recover()
    handles = [await shop.wf.start(shop.order, number) for number in range(20)]
    await shop.reached(handles, Status.WAITING)
    async with asyncio.timeout(30):
        while tasks_of_runs():
            await asyncio.sleep(0.01)
    assert all([await shop.wf.complete(handle.id, "go", "!") for handle in handles])
    assert [await handle.result(timeout=60) for handle in handles] == [(number, "!") for number in range(20)]
    assert sorted(shop.log) == sorted(f"order {number}" for number in range(20)), "nothing ran twice"
    await shop.wf.close()


async def test_what_has_left_memory_leaves_nothing_to_the_garbage_collector(store):
    shop = Shop(store)
    await shop.wf.recover()
    handles = [await shop.wf.start(shop.order, number) for number in range(60)]
    await shop.reached(handles[:20], Status.WAITING)
    await asyncio.sleep(0.5)
    gc.collect()
    gc.disable()
    try:
        for handle in handles:
            await shop.wf.complete(handle.id, "go", "!")
        for handle in handles:
            await handle.result(timeout=60)
        await asyncio.sleep(0.5)
        assert gc.collect() < 2 * len(handles)
    finally:
        gc.enable()
    await shop.wf.close()


async def test_a_step_that_waits_stays_and_does_not_run_again(store):
    shop = Shop(store)
    await shop.wf.recover()
    handle = await shop.wf.start(shop.question, 1)
    await shop.reached([handle], Status.WAITING)
    await handle.signal("answer", "yes")
    assert await handle.result(timeout=60) == "yes"
    assert shop.log == ["ask 1"]
    await shop.wf.close()


async def test_runs_that_others_have_left_go_on_without_being_asked_for(store):
    left = Shop(store)
    handle = await left.wf.start(left.order, 7)
    await left.reached([handle], Status.WAITING)
    shop = Shop(store)
    assert [each.id for each in await shop.wf.recover()] == ["order-7"]
    await left.wf.runs.stop()
    await shop.wf.complete("order-7", "go", 1)
    assert await shop.wf.handle("order-7").result(timeout=60) == (7, 1)
    assert shop.log == []
    await shop.wf.close()


async def test_a_workflow_that_is_defined_later_is_worked_on(store):
    shop = Shop(store)
    empty = Workflow("empty", db=store)
    await shop.wf.recover()
    await empty.recover()
    for wf in (shop.wf, empty):

        @wf.workflow(id="late")
        async def late(wf=wf):
            return await wf.signal("go")

        handle = await wf.start(late)
        async with asyncio.timeout(30):
            while await handle.status() is not Status.WAITING or tasks_of_runs():
                await asyncio.sleep(0.01)
        await handle.signal("go", 1)
        assert await handle.result(timeout=60) == 1
    await empty.crew.stop(0)
    await shop.wf.close()


@pytest.mark.parametrize("opened", ["once", "twice"])
async def test_a_worker_of_the_process_takes_what_is_started(store, opened):
    shop = Shop(store)
    again = opened == "twice" and isinstance(store, SQLiteStore)
    worker = Worker(SQLiteStore(store.path) if again else store, [shop.order])
    working = asyncio.create_task(worker.run())
    await asyncio.sleep(0)
    handle = await shop.wf.start(shop.order, 1)
    await shop.reached([handle], Status.WAITING)
    assert not [task for task in tasks_of_runs() if task.get_name().startswith("run ")]
    await handle.signal("go", 2)
    assert await handle.result(timeout=60) == (1, 2)
    worker.drain()
    await working
    await shop.wf.close()


async def test_runs_that_wait_for_each_other_need_no_places(store):
    shop = Shop(store)
    worker = Worker(shop.wf.store, [shop.order, shop.parent], concurrency=1)
    working = asyncio.create_task(worker.run())
    await asyncio.sleep(0)
    parents = [await shop.wf.start(shop.parent, number) for number in range(3)]
    children = [shop.wf.handle(f"order-{number}") for number in range(3)]
    for child in children:
        await child.signal("go", "!")
    assert [await parent.result(timeout=60) for parent in parents] == [(number, "!") for number in range(3)]
    worker.drain()
    await working
    await shop.wf.close()


async def test_a_run_is_cancelled_paused_and_removed_while_it_is_in_no_memory(store):
    shop = Shop(store)
    await shop.wf.recover()
    one, other, third = [await shop.wf.start(shop.order, number) for number in range(3)]
    await shop.reached([one, other, third], Status.WAITING)
    await one.cancel()
    with pytest.raises(asyncio.CancelledError):
        await one.result(timeout=60)
    await other.pause()
    await shop.reached([other], Status.PAUSED)
    await other.signal("go", 1)
    await asyncio.sleep(0.2)
    assert await other.status() is Status.PAUSED
    await other.resume()
    assert await other.result(timeout=60) == (1, 1)
    again = await shop.wf.start(shop.order, 2, on_conflict="restart")
    await again.signal("go", 2)
    assert await again.result(timeout=60) == (2, 2)
    assert shop.log.count("order 2") == 2
    await shop.wf.close()


@pytest.mark.parametrize("by", ["handle", "parent"])
async def test_a_run_that_sleeps_in_no_memory_is_cancelled_at_once(store, by):
    wf, log = Workflow("shop", db=store, default_retries=0), []

    @wf.workflow(id="nap")
    async def nap():
        try:
            await asyncio.sleep(3600)
        finally:
            log.append("clean up")

    @wf.workflow(id="parent")
    async def parent():
        await wf.start(nap, on_cancel="cancel")
        await wf.signal("go")

    await wf.recover()
    handle = await wf.start(nap if by == "handle" else parent)
    async with asyncio.timeout(60):
        while not await wf.list(prefix="nap", status="SLEEPING"):
            await asyncio.sleep(0.01)
    await handle.cancel()
    with pytest.raises(asyncio.CancelledError):
        await wf.handle("nap").result(timeout=30)
    assert log == ["clean up"]
    await wf.close()


@pytest.mark.parametrize("asked", ["resume", "cancel", "terminate"])
async def test_a_run_is_paused_in_a_step(store, asked):
    wf, log, gate = Workflow("shop", db=store, default_retries=0), [], asyncio.Event()

    @wf.task
    async def work():
        log.append("work")
        await gate.wait()

    @wf.workflow(id="order")
    async def order():
        try:
            await work()
        finally:
            log.append("clean up")

    await wf.recover()
    handle = await wf.start(order)
    async with asyncio.timeout(60):
        while not log:
            await asyncio.sleep(0.01)
        await handle.pause()
        while (status := await handle.status()) is not Status.PAUSED:
            assert status is Status.RUNNING
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert await handle.status() is Status.PAUSED
    assert log == ["work"]
    if asked == "resume":
        gate.set()
    await getattr(handle, asked)()
    if asked == "resume":
        await handle.result(timeout=60)
        assert log == ["work", "work", "clean up"]
    else:
        with pytest.raises(asyncio.CancelledError):
            await handle.result(timeout=60)
        assert log[-1] == ("clean up" if asked == "cancel" else "work")
    await wf.close()


async def test_a_lifespan_ends_with_the_next_checkpoint(store):
    shop = Shop(store)
    async with shop.wf.lifespan(grace=30):
        handle = await shop.wf.start(shop.long, 1)
        waiting = await shop.wf.start(shop.question, 7)
        await shop.reached([waiting], Status.WAITING)
        while "work 1" not in shop.log:
            await asyncio.sleep(0.01)
        asyncio.get_running_loop().call_later(0.2, shop.gate.set)
    assert sorted(shop.log) == ["ask 7", "work 1", "worked 1"], "the step has ended, and the next has not begun"
    if isinstance(store, InMemoryStore):
        later = Shop(store)
        later.gate.set()
        async with later.wf.lifespan():
            await later.wf.handle(handle.id).result(timeout=60)
            assert later.log == ["work 2", "worked 2"], "what waits needs no memory until its answer comes"


@pytest.mark.parametrize("recovers", [False, True])
async def test_the_end_of_a_process_waits_for_the_step_of_a_run_that_it_has_started(store, recovers):
    shop = Shop(store)
    if recovers:
        await shop.wf.recover()
    handle = await shop.wf.start(shop.long, 1)
    while "work 1" not in shop.log:
        await asyncio.sleep(0.01)
    asyncio.get_running_loop().call_later(0.2, shop.gate.set)
    await shop.wf.close(grace=30)
    assert shop.log == ["work 1", "worked 1"], "the step has ended, and the next has not begun"
    if isinstance(store, InMemoryStore):
        later = Shop(store)
        later.gate.set()
        async with later.wf:
            await later.wf.handle(handle.id).result(timeout=60)
        assert later.log == ["work 2", "worked 2"]


@pytest.mark.parametrize("recovers", [False, True])
async def test_a_run_that_calls_itself_is_told_so(store, recovers):
    wf = Workflow("shop", db=store, default_retries=0)

    @wf.workflow(id="order")
    async def order():
        return await order()

    if recovers:
        await wf.recover()
    with pytest.raises(InstanceConflictError, match="calls itself"):
        await (await wf.start(order)).result(timeout=30)
    await wf.close()


async def test_a_step_that_takes_longer_than_the_grace_is_run_again(store):
    shop = Shop(store)
    async with shop.wf.lifespan(grace=0.1):
        handle = await shop.wf.start(shop.long, 1)
        while "work 1" not in shop.log:
            await asyncio.sleep(0.01)
    assert shop.log == ["work 1"]
    if isinstance(store, InMemoryStore):
        later = Shop(store)
        later.gate.set()
        async with later.wf.lifespan():
            await later.wf.handle(handle.id).result(timeout=60)
            assert later.log == ["work 1", "worked 1", "work 2", "worked 2"]


PROGRAM = """
    import asyncio, os, sys
    from durable_ast import Workflow

    wf = Workflow("shop", db="shop.db")

    @wf.task
    async def note(what):
        with open("log", "a") as file:
            print(os.getpid(), what, file=file)

    @wf.workflow(id="order-{number}")
    async def order(number):
        await note(f"begin {number}")
        await asyncio.sleep(2)
        await note(f"end {number}")

    async def main():
        async with wf:
            if sys.argv[1:] == ["start"]:
                for number in range(10):
                    await wf.start(order, number)
            print("ready", flush=True)
            await asyncio.sleep(60)

    asyncio.run(main())
"""


def test_processes_take_over_from_one_that_dies(tmp_path):
    (tmp_path / "program.py").write_text(textwrap.dedent(PROGRAM))

    def begun(*words):
        process = subprocess.Popen(
            [sys.executable, "program.py", *words], cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        return process

    first = begun("start")
    others = [begun(), begun()]
    os.killpg(first.pid, signal.SIGKILL)
    first.wait()

    async def finished():
        wf = Workflow("shop", db=str(tmp_path / "shop.db"))
        for number in range(10):
            await wf.handle(f"order-{number}").result(timeout=60)
        await wf.close()

    try:
        asyncio.run(finished())
    finally:
        for process in others:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()
        first.stdout.close()
    lines = [line.split(" ", 1)[1] for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(lines) == sorted(f"{what} {number}" for number in range(10) for what in ("begin", "end"))


async def test_a_worker_that_ends_says_why(store, monkeypatch, caplog):
    shop = Shop(store)

    async def claim(*args):
        raise CorruptStateError("the file is damaged")

    monkeypatch.setattr(type(shop.wf.instances), "claim", claim)
    await shop.wf.recover()
    async with asyncio.timeout(30):
        while "the file is damaged" not in caplog.text:
            await asyncio.sleep(0.01)
    assert "its runs stand still" in caplog.text
