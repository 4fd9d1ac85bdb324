"""Runs that wait for their turn."""

import asyncio
import time

import pytest

from durable_ast import InMemoryStore, SQLiteStore, Status, StoreError, Workflow
from durable_ast.stores.claiming import InstanceBusy


class Shop:
    """A process with a queue, and what it has run."""

    def __init__(self, store, **limits):
        self.wf = Workflow("shop", db=store, default_retries=0)
        self.queue = self.wf.queue("orders", **limits)
        self.running, self.most, self.log = [], 0, []
        self.is_open = asyncio.Event()
        self.is_open.set()

        @self.wf.task
        async def work(name):
            self.log.append(name)
            self.running.append(name)
            self.most = max(self.most, len(self.running))
            await self.is_open.wait()
            await asyncio.sleep(0.02)
            self.running.remove(name)

        @self.wf.workflow(id="order-{name}")
        async def order(name):
            await work(name)
            return name

        self.order = order

    async def until(self, *log):
        """Wait until just this has been begun, in this order."""
        async with asyncio.timeout(60):
            while self.log != list(log):
                await asyncio.sleep(0.01)

    async def finish(self, handles):
        return [await handle.result(timeout=60) for handle in handles]


@pytest.fixture(params=["memory", "sqlite"])
def store(request, tmp_path):
    return InMemoryStore() if request.param == "memory" else SQLiteStore(tmp_path / "s.db")


async def test_so_many_at_a_time(store):
    shop = Shop(store, concurrency=2)
    shop.is_open.clear()
    handles = [await shop.queue.start(shop.order, number) for number in range(7)]
    async with asyncio.timeout(60):
        while len(shop.running) < 2:
            await asyncio.sleep(0.01)
    shop.is_open.set()
    assert await shop.finish(handles) == list(range(7))
    assert shop.most == 2
    assert sorted(shop.log) == list(range(7))
    await shop.wf.close()


async def test_limits_hold_for_all_processes(store):
    one, other = Shop(store, concurrency=1), Shop(store, concurrency=1)
    handles = [await shop.queue.start(shop.order, f"{i}") for i in range(3) for shop in (one, other)]
    await one.finish(handles)
    assert sorted(one.log + other.log) == ["0", "1", "2"]
    assert one.most <= 1 and other.most <= 1
    for shop in (one, other):
        await shop.wf.close()


async def test_priority(store):
    shop = Shop(store, concurrency=1, priority=-1)
    shop.is_open.clear()
    handles = [await shop.queue.start(shop.order, "before")]
    await shop.until("before")
    handles += [await shop.queue.start(shop.order, name) for name in ("first", "low")]
    handles += [await shop.queue.start(shop.order, "high", priority=0)]
    shop.is_open.set()
    await shop.finish(handles)
    assert shop.log == ["before", "high", "first", "low"]
    await shop.wf.close()


async def test_delay(store):
    shop = Shop(store, concurrency=1)
    late = await shop.queue.start(shop.order, "late", delay=3600)
    begun = time.time()
    soon = await shop.queue.start(shop.order, "soon", delay=0.3)
    now = await shop.queue.start(shop.order, "now")
    assert await now.result(timeout=60) == "now"
    assert await soon.result(timeout=60) == "soon"
    assert time.time() - begun >= 0.3
    assert await late.status() is Status.ENQUEUED
    assert "late" not in shop.log
    await shop.wf.close()


async def test_so_many_of_one_key(store):
    shop = Shop(store, per_key=1)
    handles = [await shop.queue.start(shop.order, f"{key}{i}", key=key) for i in range(3) for key in "ab"]
    await shop.finish(handles)
    assert shop.most <= 2
    assert [name for name in shop.log if name[0] == "a"] == ["a0", "a1", "a2"]
    await shop.wf.close()


async def test_a_rate(store):
    shop = Shop(store, rate=(2, 3600))
    handles = [await shop.queue.start(shop.order, number) for number in range(4)]
    await shop.finish(handles[:2])
    await asyncio.sleep(0.6)
    assert shop.log == [0, 1]
    assert await handles[2].status() is Status.ENQUEUED
    await shop.wf.close()


async def test_a_run_that_is_cancelled_in_its_queue_takes_no_turn(store):
    shop = Shop(store, concurrency=1, rate=(2, 3600))
    shop.is_open.clear()
    first, second, third = [await shop.queue.start(shop.order, number) for number in range(3)]
    await second.cancel()
    assert await second.status() is Status.CANCELLED
    shop.is_open.set()
    assert await shop.finish([first, third]) == [0, 2]
    assert shop.log == [0, 2]
    await shop.wf.close()


async def test_a_run_that_is_paused_in_its_queue_waits_for_both(store):
    shop = Shop(store, concurrency=1)
    shop.is_open.clear()
    first, second = [await shop.queue.start(shop.order, number) for number in range(2)]
    await second.pause()
    assert await second.status() is Status.PAUSED
    await second.resume()
    assert await second.status() is Status.ENQUEUED
    await shop.until(0)
    await asyncio.sleep(0.3)
    assert shop.log == [0], "to be told to go on is no turn"
    await second.pause()
    shop.is_open.set()
    assert await first.result(timeout=60) == 0
    await asyncio.sleep(0.5)
    assert await second.status() is Status.PAUSED
    await second.resume()
    assert await second.result(timeout=60) == 1
    await shop.wf.close()


async def test_a_run_in_a_queue_is_seen_as_it_stands(store):
    shop = Shop(store, rate=(1, 3600))
    first, second = [await shop.queue.start(shop.order, number) for number in range(2)]
    assert await first.result(timeout=60) == 0
    assert [run.id for run in await shop.wf.list(status="ENQUEUED")] == [second.id]
    assert await shop.wf.list(status="PAUSED") == []
    assert (await second.info()).wake_at is None
    assert [run.id for run in await shop.wf.list(limit=2)] == [second.id, first.id], "the queue takes no place"
    await shop.wf.close()


async def test_a_run_is_queued_once(store):
    shop = Shop(store, concurrency=1)
    handles = [await shop.queue.start(shop.order, "x") for _ in range(3)]
    await shop.finish(handles)
    await shop.queue.start(shop.order, "x")
    await asyncio.sleep(0.5)
    assert shop.log == ["x"]
    assert [run.id for run in await shop.wf.list()] == ["order-x"], "the queue is no run"
    await shop.wf.close()


async def test_a_run_begins_though_somebody_has_it_at_that_moment(store, monkeypatch):
    """The second call takes the run to replace its arguments just when the first one's is let go."""
    shop = Shop(store)
    acquire = type(shop.wf.instances).acquire
    is_let_go, is_taken, is_found_taken = (asyncio.Event() for _ in range(3))

    async def acquire_at_a_bad_moment(self, record):
        name = asyncio.current_task().get_name()
        if name == "second" and not is_taken.is_set():
            await is_let_go.wait()
            taken = await acquire(self, record)
            is_taken.set()
            await is_found_taken.wait()
            return taken
        if not name.startswith("run ") or is_found_taken.is_set():
            return await acquire(self, record)
        is_let_go.set()
        await is_taken.wait()
        try:
            return await acquire(self, record)
        except InstanceBusy:
            asyncio.get_running_loop().call_later(0.05, is_found_taken.set)
            raise

    monkeypatch.setattr(type(shop.wf.instances), "acquire", acquire_at_a_bad_moment)
    first = await shop.queue.start(shop.order, "a", unique="stock", debounce=0.3)
    second = asyncio.create_task(shop.queue.start(shop.order, "b", unique="stock", debounce=0), name="second")
    assert await first.result(timeout=30) == "a"
    assert await (await second).result(timeout=30) == "b"
    await shop.wf.close()


async def test_a_run_of_a_unique_key_of_which_the_queue_was_not_told(store, monkeypatch):
    shop = Shop(store)

    def fail(*message):
        raise StoreError("down")

    with monkeypatch.context() as patch:
        patch.setattr(type(shop.wf.instances), "publish", fail)
        with pytest.raises(StoreError):
            await shop.queue.start(shop.order, "a", unique="stock")
    handle = await shop.queue.start(shop.order, "b", unique="stock")
    assert await handle.result(timeout=30) == "a"
    await shop.wf.close()


async def test_calls_that_come_together_are_about_one_run(store):
    shop = Shop(store)
    first = await shop.queue.start(shop.order, "a", unique="stock", debounce=3600)
    calls = [shop.queue.start(shop.order, f"{number}", unique="stock", debounce=3600) for number in range(5)]
    assert set(await asyncio.gather(*calls)) == {first}
    await shop.wf.close()


async def test_a_store_that_does_not_answer_once_is_asked_again(store, monkeypatch):
    shop = Shop(store)
    acquire, is_down = type(shop.wf.instances).acquire, [True]

    async def acquire_later(self, record):
        if record.instance_id == shop.queue.id and is_down:
            is_down.clear()
            raise StoreError("down")
        return await acquire(self, record)

    monkeypatch.setattr(type(shop.wf.instances), "acquire", acquire_later)
    handle = await shop.queue.start(shop.order, "a")
    assert await handle.result(timeout=30) == "a"
    assert not is_down
    await shop.wf.close()


async def test_a_run_that_failed_is_queued_to_go_on(store):
    shop = Shop(store, concurrency=1)

    @shop.wf.workflow(id="flaky")
    async def flaky():
        shop.log.append("flaky")
        if shop.log.count("flaky") == 1:
            raise OSError("down")

    handle = await shop.queue.start(flaky)
    with pytest.raises(OSError, match="down"):
        await handle.result(timeout=60)
    shop.is_open.clear()
    first = await shop.queue.start(shop.order, 1)
    async with asyncio.timeout(60):
        while not shop.running:
            await asyncio.sleep(0.01)
    assert await shop.queue.start(flaky) == handle
    assert await handle.status() is Status.ENQUEUED
    await asyncio.sleep(0.3)
    assert shop.log == ["flaky", 1]
    shop.is_open.set()
    await shop.finish([first, handle])
    assert shop.log == ["flaky", 1, "flaky"]
    await shop.wf.close()


async def test_a_run_that_failed_is_queued_for_later(store):
    """The queue has not seen yet that the run has ended when it is queued again."""
    shop = Shop(store)

    @shop.wf.workflow(id="flaky")
    async def flaky():
        shop.log.append("flaky")
        raise OSError("down")

    handle = await shop.queue.start(flaky)
    with pytest.raises(OSError, match="down"):
        await handle.result(timeout=60)
    await shop.queue.start(flaky, delay=3600)
    await asyncio.sleep(0.6)
    assert shop.log == ["flaky"]
    assert await handle.status() is Status.ENQUEUED
    await shop.wf.close()


async def test_a_run_goes_on_that_whoever_put_it_aside_has_still_to_let_go_of(store):
    shop = Shop(store)
    handle = await shop.queue.start(shop.order, "a", delay=3600)
    record, _ = await shop.wf.instances.acquire(await shop.wf.instances.read(handle.id))
    record.status, record.wake_at = Status.PARKED, None
    writing = shop.wf.instances.commit(record, (), True)
    if writing is not None:
        await writing
    asyncio.get_running_loop().call_later(0.1, shop.wf.instances.release, handle.id, record.epoch)
    await handle.resume()
    assert await handle.result(timeout=30) == "a"
    await shop.wf.close()


async def test_another_process_takes_over(store):
    shop = Shop(store, concurrency=1)
    handles = [await shop.queue.start(shop.order, number) for number in range(4)]
    await handles[0].result(timeout=60)
    await shop.queue.stop()
    await shop.wf.runs.stop()
    other = Shop(store, concurrency=1)
    await other.wf.recover()
    assert [await other.wf.handle(handle.id).result(timeout=60) for handle in handles] == [0, 1, 2, 3]
    assert other.most == 1
    await other.wf.close()


async def test_one_run_of_a_unique_key_at_a_time(store):
    shop = Shop(store, concurrency=1)
    first, same = [await shop.queue.start(shop.order, name, unique="stock") for name in ("a", "b")]
    assert first == same
    assert await first.result(timeout=60) == "a"
    second = await shop.queue.start(shop.order, "c", unique="stock")
    other = await shop.queue.start(shop.order, "d", unique="prices")
    assert await shop.finish([second, other]) == ["c", "d"]
    assert shop.log == ["a", "c", "d"]
    assert len({first, second, other}) == 3
    await shop.wf.close()


async def test_calls_in_a_burst_are_one_run_with_the_last_arguments(store):
    shop = Shop(store)
    burst = [await shop.queue.start(shop.order, name, unique="stock", debounce=60) for name in "ab"]
    burst += [await shop.queue.start(shop.order, "c", unique="stock", debounce=0.2)]
    assert len(set(burst)) == 1
    assert await burst[0].result(timeout=60) == "c"
    later = await shop.queue.start(shop.order, "d", unique="stock", debounce=0.1)
    assert await later.result(timeout=60) == "d"
    assert shop.log == ["c", "d"]
    await shop.wf.close()


async def test_a_call_after_the_burst_was_let_go_is_not_lost(store):
    shop = Shop(store)
    await shop.queue.start(shop.order, "a", unique="stock", debounce=0.0)
    while "a" not in shop.log:
        await asyncio.sleep(0.001)
    again = await shop.queue.start(shop.order, "b", unique="stock", debounce=0.0)
    assert await again.result(timeout=60) == "b"
    assert shop.log == ["a", "b"]
    await shop.wf.close()


async def test_what_does_not_go_together_is_refused(store):
    shop = Shop(store)
    with pytest.raises(ValueError, match="give unique= as well"):
        await shop.queue.start(shop.order, "a", debounce=1)
    with pytest.raises(ValueError, match="one of unique= and id="):
        await shop.queue.start(shop.order, "a", unique="x", id="y")
    with pytest.raises(TypeError, match="is no workflow; decorate"):
        await shop.queue.start(print, "a")


@pytest.mark.parametrize(
    "options",
    [
        {"delay": -1}, {"delay": "long"}, {"delay": float("inf")}, {"priority": "high"}, {"priority": 1.5}, {"key": 7},
        {"key": ""}, {"unique": 7}, {"unique": ""}, {"unique": "x", "debounce": -1},
    ],
    ids=str,
)  # fmt: skip
async def test_a_run_with_nonsense_is_refused_and_stops_nobody(options):
    shop = Shop(InMemoryStore())
    with pytest.raises(ValueError, match="must be"):
        await shop.queue.start(shop.order, "a", **options)
    assert await shop.wf.list() == []
    assert await (await shop.queue.start(shop.order, "b")).result(timeout=60) == "b"
    await shop.wf.close()


@pytest.mark.parametrize("name", ["", None, 7])
def test_a_queue_has_a_name(name):
    with pytest.raises(ValueError, match="a queue needs a name"):
        Workflow("shop", db=InMemoryStore()).queue(name)


@pytest.mark.parametrize(
    "limits",
    [
        {"concurrency": 0}, {"concurrency": 1.5}, {"concurrency": True}, {"per_key": 0}, {"per_key": "x"},
        {"rate": (0, 1)}, {"rate": (1, 0)}, {"rate": 5}, {"rate": (1,)}, {"rate": (1, "x")}, {"priority": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_refused(limits):
    with pytest.raises(ValueError, match="of queue 'orders' must be"):
        Shop(InMemoryStore(), **limits)
