"""A record that is damaged is put aside and named; the others are seen and go on."""

import sqlite3

import pytest

from durable_ast import CorruptStateError, DiskStateStore, DurableBackend, SQLiteStore, Status, Worker, make_durable


@make_durable
async def double(number: int) -> int:
    return 2 * number


class OnSQLite:
    def __init__(self, tmp_path, request):
        self.path = tmp_path / "durable.db"

    def open(self):
        return SQLiteStore(self.path)

    def damage(self):
        with sqlite3.connect(self.path) as connection:
            connection.execute("UPDATE durable_instances SET retry = x'80' WHERE id = 'it'")
        connection.close()


class OnDisk:
    def __init__(self, tmp_path, request):
        self.path = tmp_path / "store"

    def open(self):
        return DiskStateStore(self.path)

    def damage(self):
        (self.path / "it.pkl").write_bytes(b"cut sho")


class OnPostgres:
    def __init__(self, tmp_path, request):
        self.psycopg = pytest.importorskip("psycopg")
        self.schema = request.getfixturevalue("postgres_schema")

    def open(self):
        from durable_ast.stores.postgres import PostgresStore

        return PostgresStore(self.schema.conninfo, schema=self.schema.name)

    def damage(self):
        with self.psycopg.connect(self.schema.conninfo) as connection:
            connection.execute(f"UPDATE {self.schema.name}.instances SET retry = '\\x80' WHERE id = 'it'")


class OnRedis:
    def __init__(self, tmp_path, request):
        self.redis = pytest.importorskip("redis")
        self.keys = request.getfixturevalue("redis_keys")

    def open(self):
        from durable_ast.stores.redis import RedisStore

        return RedisStore(self.keys.url, prefix=self.keys.name)

    def damage(self):
        with self.redis.Redis.from_url(self.keys.url) as client:
            (name,) = client.keys(f"*{self.keys.name}*:i:it")
            client.hset(name, "retry", b"\x80")


@pytest.fixture(params=[OnSQLite, OnDisk, OnPostgres, OnRedis])
async def place(request, tmp_path):
    place = request.param(tmp_path, request)
    store = place.open()
    for instance_id in ("before", "it", "after"):
        await double.start(4, instance_id=instance_id, orchestration_backend=DurableBackend(store))
    await store.close()
    place.damage()
    return place


async def test_a_damaged_record_hides_no_other(place):
    store = place.open()
    shown = {record.instance_id: record for record in await store.records()}
    assert set(shown) == {"before", "it", "after"}
    assert shown["it"].status is Status.PARKED and "damaged" in shown["it"].error
    assert (await store.sizes()).instances[Status.ENQUEUED] >= 2
    await store.close()


async def test_a_worker_goes_on_with_the_others(place):
    store = place.open()
    await Worker(store, [double]).run_until_idle()
    assert {record.instance_id: record.status for record in await store.records()} == {
        "before": Status.SUCCESS,
        "it": Status.PARKED,
        "after": Status.SUCCESS,
    }
    assert await store.vacuum(older_than=0.0, status=[Status.SUCCESS, Status.PARKED]) == 2
    await store.close()


async def test_who_calls_it_is_told_which_one_and_may_delete_it(place):
    store = place.open()
    for _ in range(2):
        with pytest.raises(CorruptStateError, match=r"'it'|it\.pkl"):
            await double(4, instance_id="it", orchestration_backend=DurableBackend(store))
    with pytest.raises(CorruptStateError, match=r"'it'|it\.pkl"):
        await store.read("it")
    assert await store.delete("it")
    assert await double(4, instance_id="it", orchestration_backend=DurableBackend(store)) == 8
    await store.close()
