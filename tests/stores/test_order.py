"""What comes after a checkpoint that could not be written is not written either."""

import asyncio
import contextlib
import sqlite3

import pytest

from durable_ast import DurableError, SQLiteStore, StoreError
from durable_ast.testing.store_conformance import new


@pytest.fixture(params=["sqlite", "postgres", "redis"])
async def store(request, tmp_path):
    if request.param == "sqlite":
        store = SQLiteStore(tmp_path / "durable.db")
    elif request.param == "postgres":
        pytest.importorskip("psycopg")
        from durable_ast.stores.postgres import PostgresStore

        schema = request.getfixturevalue("postgres_schema")
        store = PostgresStore(schema.conninfo, schema=schema.name)
    else:
        pytest.importorskip("redis")
        from durable_ast.stores.redis import RedisStore

        keys = request.getfixturevalue("redis_keys")
        store = RedisStore(keys.url, prefix=keys.name)
    yield store
    await store.close()


class Unwritable:
    """What no database takes."""


async def written(store, record, parts):
    record.sequence += 1
    writing = store.commit(record, (), True, parts)
    if writing is not None:
        await writing


async def test_nothing_is_written_after_what_was_lost(store):
    record, _ = await store.acquire(new())
    await written(store, record, {"v/first": b"1"})
    with contextlib.suppress(DurableError):
        await written(store, record, {"v/second": Unwritable()})
    for _ in range(2):
        with pytest.raises(StoreError, match="could not be written"):
            await written(store, record, {"v/third": b"3"})
    assert await store.parts("one") == {"v/first": b"1"}
    store.release("one", record.epoch)
    record, _ = await store.acquire(new())
    assert record.sequence == 1
    await written(store, record, {"v/second": b"2"})
    assert sorted(await store.parts("one")) == ["v/first", "v/second"]


async def test_a_file_that_others_keep_locked_is_waited_for_and_then_named(tmp_path):
    file = tmp_path / "durable.db"
    store = SQLiteStore(file, patience=0.1)
    record, _ = await store.acquire(new())
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match=r"durable.db: another process has kept the database locked for 0.1 sec"):
            await store.enqueue(new("two"))
        waiting = asyncio.create_task(store.enqueue(new("two")))
        other.execute("COMMIT")
    with contextlib.suppress(StoreError):
        await waiting
    await store.enqueue(new("two"))
    await written(store, record, {})
    await store.close()
