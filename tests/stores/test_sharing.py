"""One store, many users: threads with event loops of their own, forks, processes."""

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from durable_ast import (
    DiskStateStore,
    DurableBackend,
    InMemoryStateStore,
    PauseForEventException,
    SQLiteStore,
    make_durable,
    wait_for_event,
)
from durable_ast.testing.store_conformance import new

ROOT = Path(__file__).parents[2]


async def step(number):
    return number


@make_durable
async def count(steps: int) -> int:
    total = 0
    for number in range(steps):
        total += await step(number)
    return total


@make_durable
async def hear(times: int) -> list[object]:
    return [await wait_for_event("event") for _ in range(times)]


def stores(tmp_path):
    return {
        "memory": InMemoryStateStore,
        "sqlite in memory": lambda: SQLiteStore(":memory:"),
        "disk": lambda: DiskStateStore(tmp_path / "folder"),
        "sqlite": lambda: SQLiteStore(tmp_path / "durable.db"),
    }


@pytest.fixture(params=["memory", "sqlite in memory", "disk", "sqlite"])
def backend(request, tmp_path):
    return DurableBackend(stores(tmp_path)[request.param]())


def in_threads(work, how_many=4):
    """Run a function in several threads at once; gives what each returned."""
    results, errors = [], []

    def run(number):
        try:
            results.append(work(number))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(how_many)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert not errors
    return results


def test_threads_with_event_loops_of_their_own(backend):
    def work(number):
        async def main():
            calls = (count(20, orchestration_backend=backend, instance_id=f"{number}-{index}") for index in range(5))
            return await asyncio.gather(*calls)

        return asyncio.run(main())

    assert in_threads(work) == [[190] * 5] * 4


def test_threads_that_call_one_instance(backend):
    """One of them runs it; all get its result."""
    assert in_threads(lambda _: asyncio.run(count(30, orchestration_backend=backend, instance_id="it"))) == [435] * 4


def test_a_file_that_is_opened_and_closed_all_the_time_is_never_locked(tmp_path):
    """Whoever opens or closes it has it locked for a moment."""

    def work(number):
        for _ in range(300):
            store = SQLiteStore(tmp_path / "durable.db")
            DurableBackend(store).publish_event("it", "a", number).result(timeout=60)
            asyncio.run(store.close())
        return number

    assert sorted(in_threads(work, how_many=6)) == list(range(6))


def test_publishing_from_threads_while_the_instance_waits(backend):
    async def main():
        calling = asyncio.create_task(hear(40, orchestration_backend=backend, instance_id="it", wait=True))
        await asyncio.sleep(0.02)

        def publish(number):
            for index in range(10):
                backend.publish_event("it", "event", (number, index))

        await asyncio.to_thread(in_threads, publish)
        return await calling

    heard = asyncio.run(main())
    assert sorted(heard) == [(number, index) for number in range(4) for index in range(10)]
    for number in range(4):
        assert [index for sender, index in heard if sender == number] == list(range(10)), "out of order"


def test_one_store_and_many_runs_of_asyncio(backend):
    for number in range(10):
        assert asyncio.run(count(5, orchestration_backend=backend, instance_id=f"{number}")) == 10


@pytest.mark.parametrize("kind", ["disk", "sqlite"])
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_fork_goes_on_with_the_store(tmp_path, kind):
    backend = DurableBackend(stores(tmp_path)[kind]())
    assert asyncio.run(count(5, orchestration_backend=backend, instance_id="before")) == 10
    child = os.fork()
    if child == 0:
        status = 1
        try:
            before = asyncio.run(count(5, orchestration_backend=backend, instance_id="before"))
            own = asyncio.run(count(6, orchestration_backend=backend, instance_id="child"))
            status = 0 if (before, own) == (10, 15) else 2
        finally:
            os._exit(status)
    assert asyncio.run(count(7, orchestration_backend=backend, instance_id="parent")) == 21
    deadline = time.monotonic() + 30
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        assert time.monotonic() < deadline, "the child hangs"
        time.sleep(0.01)
    assert os.waitstatus_to_exitcode(ended[1]) == 0
    assert asyncio.run(count(6, orchestration_backend=backend, instance_id="child")) == 15


OTHER = """
import asyncio, sys
from durable_ast import DiskStateStore, DurableBackend, SQLiteStore
kind, place = sys.argv[1:]
backend = DurableBackend(SQLiteStore(place) if kind == "sqlite" else DiskStateStore(place))
for number in range(5):
    backend.publish_event("it", "event", number)
"""


@pytest.mark.parametrize("kind", ["disk", "sqlite"])
def test_another_process_wakes_who_waits(tmp_path, kind):
    place = str(tmp_path / ("durable.db" if kind == "sqlite" else "folder"))

    async def main():
        backend = DurableBackend(stores(tmp_path)[kind]())
        calling = asyncio.create_task(hear(5, orchestration_backend=backend, instance_id="it", wait=True))
        await asyncio.sleep(0.05)
        command = [sys.executable, "-c", OTHER, kind, place]
        await asyncio.to_thread(subprocess.run, command, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        return await calling

    assert asyncio.run(main()) == [0, 1, 2, 3, 4]


async def test_states_are_copies(backend):
    given = {"list": [1]}
    await backend.save_state("state", given)
    given["list"].append(2)
    loaded = await backend.load_state("state")
    assert loaded == {"list": [1]}
    loaded["list"].append(3)
    assert await backend.load_state("state") == {"list": [1]}


async def test_objects_of_a_run_are_never_those_of_its_record(backend):
    @make_durable
    async def keep(names: list[str]) -> list[str]:
        await step(0)
        names.append("more")
        await wait_for_event("event")
        return names

    names = ["one"]
    with pytest.raises(PauseForEventException):
        await keep(names, orchestration_backend=backend, instance_id="it")
    assert names == ["one", "more"]  # as in plain Python
    names.append("after the pause")
    backend.publish_event("it", "event")
    result = await keep(orchestration_backend=backend, instance_id="it")
    assert result == ["one", "more"]
    result.append("after the end")
    assert await keep(orchestration_backend=backend, instance_id="it") == ["one", "more"]


def test_a_store_that_nobody_has_any_more_leaves_no_thread(tmp_path):
    async def use(number):
        backend = DurableBackend(SQLiteStore(tmp_path / f"{number}.db"))
        with pytest.raises(PauseForEventException):
            await waits(orchestration_backend=backend, instance_id="it")

    before = threading.active_count()
    for number in range(5):
        asyncio.run(use(number))
    deadline = time.monotonic() + 30
    while threading.active_count() > before and time.monotonic() < deadline:
        gc.collect()
        time.sleep(0.01)
    assert threading.active_count() <= before


@make_durable
async def waits():
    await step(1)
    await wait_for_event("never")


FORKS = """
import asyncio, os, sys, time
from durable_ast import SQLiteStore
from durable_ast.testing.store_conformance import new

async def main():
    await SQLiteStore(sys.argv[1]).acquire(new())

asyncio.run(main())
child = os.fork()
if child == 0:
    os.close(1)
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
os._exit(0)
"""


async def test_an_owner_is_gone_with_its_process_although_what_it_has_forked_off_lives(tmp_path):
    """Locks tell who is there: no name of a host and no number of a process, which containers have alike."""
    file = tmp_path / "durable.db"
    store = SQLiteStore(file)
    ran = subprocess.run([sys.executable, "-c", FORKS, file], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    try:
        record, created = await store.acquire(new())
        assert (record.epoch, created) == (2, False)
    finally:
        os.kill(int(ran.stdout), signal.SIGKILL)
    await store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["durable.db"], "the dead leave nothing behind"


async def test_a_store_that_is_closed_while_it_is_asked_answers(tmp_path):
    store = SQLiteStore(tmp_path / "x.db")
    stop = threading.Event()
    published = []

    def publish():
        while not stop.is_set():
            published.append(store.publish("it", "event", b""))

    thread = threading.Thread(target=publish)
    thread.start()
    async with asyncio.timeout(60):
        for _ in range(100):
            await asyncio.gather(store.close(), store.read("it"))
        stop.set()
        await asyncio.to_thread(thread.join)
        numbers = [await asyncio.wrap_future(each) for each in published]
    assert numbers == sorted(set(numbers))
    await store.close()
