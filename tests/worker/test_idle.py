"""What a worker costs that has nothing to do: memory for what is parked, and questions to its store."""

import asyncio
import gc
import sys
import tracemalloc

import pytest

from durable_ast import SQLiteStore
from durable_ast.state.schema import Status
from durable_ast.stores.delegating import DelegatingStore
from durable_ast.testing.store_conformance import new
from durable_ast.worker.worker import Worker
from tests.stores.wire import Wire

from . import programs
from .test_worker import enqueue, until

PARKED = 10_000
BATCH = 20


def held():
    """The bytes that Python holds, without the names of attributes that it has looked up lately."""
    if sys.version_info >= (3, 13):
        sys._clear_internal_caches()
    else:
        sys._clear_type_cache()
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


@pytest.fixture
def traced():
    tracemalloc.start()
    yield
    tracemalloc.stop()


async def working(worker, program, store, instance_id):
    """Have a worker run something, so that it is known to be at work."""
    await enqueue(store, program, instance_id, *("log", 0.0))
    await until(store, instance_id, Status.SUCCESS)


async def test_what_is_parked_costs_a_worker_no_memory(tmp_path, monkeypatch, traced):
    monkeypatch.chdir(tmp_path)
    store, other = (SQLiteStore("durable.db", synchronous="NORMAL") for _ in range(2))
    state = b"x" * 500
    for first in range(0, PARKED, 1_000):
        await asyncio.gather(*(
            other.enqueue(new(f"parked {number}", program=programs.greet.label, status=Status.WAITING, awaited=("answer",),
                              call_stack=state))
            for number in range(first, first + 1_000)
        ))  # fmt: skip
    await other.close()
    worker = Worker(store, [programs.greet, programs.nap])
    running = asyncio.create_task(worker.run())
    await working(worker, programs.nap, store, "first")
    before = held()
    tracemalloc.reset_peak()
    for number in range(3):
        await working(worker, programs.nap, store, f"later {number}")
    assert tracemalloc.get_traced_memory()[1] - before < len(state) // 2 * PARKED  # nor had it them for a moment
    assert held() - before < 20 * PARKED
    worker.drain()
    await running
    assert len(await store.records(status=[Status.WAITING], limit=PARKED + 1)) == PARKED
    await store.close()


async def test_what_a_worker_has_parked_is_not_in_memory(tmp_path, traced):
    store = SQLiteStore(tmp_path / "durable.db", synchronous="NORMAL")
    worker = Worker(store, [programs.greet])
    sizes = []
    for first in range(0, 5 * BATCH, BATCH):
        batch = range(first, first + BATCH)
        await asyncio.gather(*(enqueue(store, programs.greet, f"it {n}", str(tmp_path / "log"), str(n)) for n in batch))
        await worker.run_until_idle()
        await asyncio.sleep(0.1)  # for a moment a worker remembers what it has begun
        sizes.append(held())
    assert worker.running == 0
    assert min(sizes[3:]) - min(sizes[1:3]) < 3_000 * BATCH  # those of two batches; one that stays holds more
    await store.close()


class Counting(DelegatingStore):
    """Counts how often a worker asks for work."""

    claims = 0

    async def claim(self, programs, limit, but=()):
        self.claims += 1
        return await self.inner.claim(programs, limit, but)


@pytest.fixture(params=["postgres", "redis"])
async def wired(request):
    """A store whose server is behind a wire, and the wire."""
    if request.param == "postgres":
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        from durable_ast.stores.postgres import PostgresStore

        schema = request.getfixturevalue("postgres_schema")
        facts = conninfo_to_dict(schema.conninfo)
        if str(facts.get("host", "")).startswith("/") or "host" not in facts:
            pytest.skip("the server is not reached through a port")
        wire = Wire(facts["host"], facts.get("port", 5432))
        port = await wire.serve()
        conninfo = make_conninfo(schema.conninfo, host="127.0.0.1", port=port, sslmode="disable", gssencmode="disable")
        store = PostgresStore(conninfo, schema=schema.name, lease=30.0)
    else:
        import redis

        from durable_ast.stores.redis import RedisStore

        keys = request.getfixturevalue("redis_keys")
        facts = redis.Redis.from_url(keys.url).get_connection_kwargs()
        wire = Wire(facts["host"], facts["port"])
        url = f"redis://127.0.0.1:{await wire.serve()}/{facts.get('db', 0)}"
        store = RedisStore(url, prefix=keys.name, lease=30.0)
    yield store, wire
    await store.close()
    await wire.close()


async def test_an_idle_worker_asks_no_more_than_once_a_second(wired, tmp_path):
    store, wire = wired
    counting = Counting(store)
    worker = Worker(counting, [programs.nap])
    running = asyncio.create_task(worker.run())
    await enqueue(store, programs.nap, "it", str(tmp_path / "log"), 0.0)
    await until(store, "it", Status.SUCCESS)
    loop = asyncio.get_running_loop()
    claims, turns, start = counting.claims, sum(wire.turns), loop.time()
    await asyncio.sleep(5)
    seconds = loop.time() - start
    assert counting.claims - claims <= seconds + 2
    assert sum(wire.turns) - turns <= 4 * (seconds + 2) + 2, "a few statements each time, and the lease"
    worker.drain()
    await running
