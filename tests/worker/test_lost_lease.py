"""Who could not renew its lease stops what it runs before somebody else goes on with it."""

import asyncio

import pytest

from durable_ast import DurableBackend, InMemoryStateStore, StaleOwnerError, Worker, make_durable, step

LEASE = 2.0
events: list[tuple[str, str]] = []


@step
async def endless() -> None:
    """A step that ends only where it is stopped, or runs for the second time."""
    if ("step", "begins") in events:
        events.append(("step", "begins again"))
        return
    events.append(("step", "begins"))
    try:
        await asyncio.sleep(4 * LEASE)
        events.append(("step", "goes on"))
    except asyncio.CancelledError:
        events.append(("step", "stops"))
        raise


@make_durable
async def alone() -> str:
    try:
        await endless()
    finally:
        events.append(("program", "finally"))
    return "done"


@make_durable
async def beside_others() -> str:
    await asyncio.gather(endless(), asyncio.sleep(0))
    return "done"


@pytest.fixture(params=["postgres", "redis"])
async def two_stores(request, monkeypatch):
    """A store that will not renew its lease, and one that will."""
    if request.param == "postgres":
        pytest.importorskip("psycopg")
        from durable_ast.stores.postgres import PostgresStore as Kind

        schema = request.getfixturevalue("postgres_schema")
        stores = [Kind(schema.conninfo, schema=schema.name, lease=LEASE) for _ in range(2)]
    else:
        pytest.importorskip("redis")
        from durable_ast.stores.redis import RedisStore as Kind

        keys = request.getfixturevalue("redis_keys")
        stores = [Kind(keys.url, prefix=keys.name, lease=LEASE) for _ in range(2)]
    renew = Kind._renew

    async def renew_but_not_the_first(self, *connection):
        if self is not stores[0]:
            await renew(self, *connection)

    monkeypatch.setattr(Kind, "_renew", renew_but_not_the_first)
    events.clear()
    yield stores
    for store in stores:
        await store.close()


@pytest.mark.parametrize("program", [alone, beside_others], ids=["alone", "beside others"])
async def test_a_worker_stops_its_step_before_another_worker_begins_it(two_stores, program):
    store, other = two_stores
    handle = await program.start(instance_id="it", orchestration_backend=DurableBackend(store))
    workers = [Worker(each, [program]) for each in (store, other)]
    first = asyncio.create_task(workers[0].run())
    while not events:
        await asyncio.sleep(0.01)
    workers[0].drain(grace=60)  # it must not claim it again
    second = asyncio.create_task(workers[1].run())
    assert await handle.result(timeout=60) == "done"
    for worker in workers:
        worker.drain()
    await asyncio.gather(first, second)
    finish = [("program", "finally")] if program is alone else []
    stops = [("step", "stops")] if program is alone else []  # beside others it is left where it stands
    assert events == [("step", "begins"), *stops, ("step", "begins again"), *finish]


async def test_whoever_has_called_it_is_told(two_stores):
    with pytest.raises(StaleOwnerError, match="lease"):
        await alone(instance_id="it", orchestration_backend=DurableBackend(two_stores[0]))
    assert events == [("step", "begins"), ("step", "stops")]


class LateNews(InMemoryStateStore):
    """Hears that the lease is lost when the program has ended already."""

    news, is_lost = None, False

    def watch(self, instance_id, callback):
        self.news = callback
        return super().watch(instance_id, callback)

    def refusal(self, record):
        return StaleOwnerError("the lease is lost") if self.is_lost else None


@make_durable
async def patient() -> str:
    await asyncio.sleep(0.3)
    return "done"


async def test_who_has_ended_is_not_stopped():
    store = LateNews()
    assert await patient(orchestration_backend=DurableBackend(store)) == "done"
    assert store.news is not None
    store.is_lost = True
    store.news()
