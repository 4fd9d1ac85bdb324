"""What a worker does for the instances of a store."""

import asyncio
import contextlib
import signal
import sqlite3
import sys
import time

import pytest

from durable_ast import (
    DurableBackend,
    InMemoryStateStore,
    InstanceConflictError,
    ParkedError,
    SQLiteStore,
    StaleOwnerError,
    Status,
    StoreError,
    UnknownRunError,
    Worker,
)
from durable_ast.runtime.handle import InstanceHandle
from durable_ast.runtime.instance import outcome_of
from durable_ast.state.schema import Record
from durable_ast.stores.delegating import DelegatingStore

from . import programs

ALL = [programs.greet, programs.nap, programs.naps, programs.count, programs.fail, programs.unsavable]


@pytest.fixture(params=[InMemoryStateStore, SQLiteStore])
async def store(request, tmp_path):
    store = InMemoryStateStore() if request.param is InMemoryStateStore else SQLiteStore(tmp_path / "durable.db")
    yield store
    await store.close()


@pytest.fixture
def log(tmp_path):
    file = tmp_path / "log"
    file.touch()
    return file


async def enqueue(store, program, instance_id, *args):
    return await program.start(*args, instance_id=instance_id, orchestration_backend=DurableBackend(store))


async def until(store, instance_id, *statuses):
    async with asyncio.timeout(60):
        seen = None
        while (record := await store.read(instance_id)).status not in statuses:
            seen = await store.changed(instance_id, seen, 0.2)
    return record


async def test_what_is_enqueued_is_run_and_what_waits_goes_on_when_its_event_comes(store, log):
    for number in range(3):
        assert await enqueue(store, programs.greet, f"greet-{number}", str(log), str(number))
    worker = Worker(store, ALL)
    running = asyncio.create_task(worker.run())
    for number in range(3):
        await until(store, f"greet-{number}", Status.WAITING)
    while worker.running:
        await asyncio.sleep(0.01)
    DurableBackend(store).publish_event("greet-1", "answer", "yes")
    record = await until(store, "greet-1", Status.SUCCESS)
    assert outcome_of(record) == "1: yes"
    worker.drain()
    assert await running
    assert log.read_text().splitlines().count("1 begins") == 1


async def test_who_loses_an_instance_as_it_begins_leaves_it_as_it_was(store, log):
    class Losing(DelegatingStore):
        def commit(self, record, *transition, **more):
            if not self.lost:
                self.lost = True
                raise StaleOwnerError("the lease ran out")
            return self.inner.commit(record, *transition, **more)

    losing = Losing(store)
    losing.lost = False
    await enqueue(store, programs.greet, "greet", str(log), "0")
    worker = Worker(losing, ALL)
    running = asyncio.create_task(worker.run())
    await until(store, "greet", Status.WAITING)
    worker.drain()
    assert await running
    assert losing.lost


@pytest.mark.parametrize(("program", "result"), [(programs.nap, "rested"), (programs.naps, ["1", "2"])])
async def test_what_sleeps_for_long_is_not_in_memory(store, log, program, result):
    await enqueue(store, program, "nap", str(log), 1.0)
    worker = Worker(store, ALL, longest_nap=0.1)
    await worker.run_until_idle()
    record = await store.read("nap")
    assert (worker.running, record.status) == (0, Status.SLEEPING)
    running = asyncio.create_task(worker.run())
    record = await until(store, "nap", Status.SUCCESS)
    assert outcome_of(record) == result
    assert time.time() >= record.created_at + 1.0
    worker.drain()
    await running
    lines = log.read_text().splitlines()
    assert len(lines) == len(set(lines))


async def test_a_handle_follows_an_instance_that_others_run(store, log):
    handle = await enqueue(store, programs.greet, "it", str(log), "Ada")
    assert await handle.status() is Status.ENQUEUED
    with pytest.raises(TimeoutError, match="it"):
        await handle.result(timeout=0.01)
    again = await enqueue(store, programs.greet, "it", str(log), "Ada")
    with pytest.raises(InstanceConflictError, match="other arguments"):
        await enqueue(store, programs.greet, "it", str(log), "Bob")
    worker = Worker(store, ALL)
    running = asyncio.create_task(worker.run())
    await again.signal("answer", 7)
    assert await handle.result(timeout=60) == "Ada: 7"
    assert await handle.status() is Status.SUCCESS
    worker.drain()
    await running
    with pytest.raises(UnknownRunError, match="nobody"):
        await InstanceHandle(DurableBackend(store), "nobody").status()


async def test_a_failed_instance_is_left_with_its_error(store, log):
    await enqueue(store, programs.fail, "it", str(log))
    worker = Worker(store, ALL)
    await worker.run_until_idle()
    record = await store.read("it")
    assert record.status is Status.ERROR
    with pytest.raises(LookupError, match="gone"):
        outcome_of(record)
    await worker.run_until_idle()
    assert log.read_text() == "fails\n"


@pytest.mark.filterwarnings("ignore:.*held")
async def test_what_cannot_be_gone_on_with_is_put_aside_with_the_reason(store, log):
    await enqueue(store, programs.unsavable, "it", str(log))
    await Worker(store, ALL).run_until_idle()
    record = await store.read("it")
    assert record.status is Status.PARKED
    with pytest.raises(ParkedError, match="held"):
        outcome_of(record)


async def test_programs_of_others_are_left_alone(store, log):
    await enqueue(store, programs.fail, "it", str(log))
    await Worker(store, [programs.nap]).run_until_idle()
    assert (await store.read("it")).status is Status.ENQUEUED


async def test_draining_hands_over_at_the_next_checkpoint(store, log):
    await enqueue(store, programs.count, "it", str(log), 50, 0.02)
    worker = Worker(store, ALL)
    running = asyncio.create_task(worker.run())
    while len(log.read_text().splitlines()) < 3:
        await asyncio.sleep(0.01)
    worker.drain()
    assert await running
    done = len(log.read_text().splitlines())
    assert 3 <= done < 50
    assert (await store.read("it")).status is Status.RUNNING
    await Worker(store, ALL).run_until_idle()
    assert outcome_of(await store.read("it")) == 50
    assert [int(line) for line in log.read_text().splitlines()] == list(range(50))


async def test_no_more_run_at_a_time_than_wanted(store, log):
    for number in range(6):
        await enqueue(store, programs.count, f"it-{number}", str(log), 2, 0.02)
    worker = Worker(store, ALL, concurrency=2)
    running = asyncio.create_task(worker.run())
    most = 0
    async with asyncio.timeout(60):
        while len(await store.records(status={Status.SUCCESS})) < 6:
            most = max(most, worker.running)
            await asyncio.sleep(0.005)
    worker.drain()
    await running
    assert most == 2


async def test_an_instance_that_kills_its_workers_is_put_aside(tmp_path, log):
    store = SQLiteStore(tmp_path / "durable.db")
    await enqueue(store, programs.poison, "it", str(log))
    for _ in range(3):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.worker.fleet", store.path, "--max-recoveries", "2"
        )
        assert await process.wait() == -signal.SIGKILL
    await Worker(store, [programs.poison], max_recoveries=2).run_until_idle()
    record = await store.read("it")
    await store.close()
    assert record.status is Status.PARKED
    with pytest.raises(ParkedError, match="3 times"):
        outcome_of(record)
    assert log.read_text().splitlines() == ["drinks", "dies"]


async def test_a_worker_process_drains_on_sigterm(tmp_path, log):
    store = SQLiteStore(tmp_path / "durable.db")
    await enqueue(store, programs.count, "it", str(log), 200, 0.01)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "durable_ast.cli", "worker", "tests.worker.programs", "--db", store.path
    )
    while len(log.read_text().splitlines()) < 3:
        await asyncio.sleep(0.01)
        assert process.returncode is None
    process.terminate()
    assert await process.wait() == 0
    assert 3 <= len(log.read_text().splitlines()) < 200
    await Worker(store, ALL).run_until_idle()
    assert outcome_of(await store.read("it")) == 200
    assert [int(line) for line in log.read_text().splitlines()] == list(range(200))
    await store.close()


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"programs": []}])
def test_a_worker_that_could_do_nothing_is_refused(wrong):
    with pytest.raises(ValueError, match="worker"):
        Worker(InMemoryStateStore(), wrong.pop("programs", ALL), **wrong)


def test_only_programs_can_be_given():
    with pytest.raises(TypeError, match="make_durable"):
        Worker(InMemoryStateStore(), [len])


async def test_an_instance_that_could_not_be_let_go_is_claimed_once_the_store_answers(tmp_path):
    store = SQLiteStore(tmp_path / "s.db", patience=0.05)
    await store.enqueue(Record("one", "program", Status.ENQUEUED))
    (record,) = (await store.claim(["program"], 1)).records
    with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        store.release("one", record.epoch)
        with pytest.raises(StoreError):
            await store.read("one")
    assert [each.instance_id for each in (await store.claim(["program"], 1)).records] == ["one"]
    await store.close()
