"""What fails once, in the machine, a driver or a server: it is said, and the store goes on."""

import asyncio
import errno
import functools
import logging
import sqlite3
import threading
from pathlib import Path

import pytest

from durable_ast import DiskStateStore, DurableBackend, NewerFormatError, SQLiteStore, StoreError, make_durable
from durable_ast.state.codec import Codec
from durable_ast.stores.claiming import InstanceBusy
from durable_ast.stores.coded import CodedStore
from durable_ast.testing.store_conformance import new


def failing_once(function, error):
    """A function that fails at its first call."""
    errors = [error]

    @functools.wraps(function)
    def failing(*args, **options):
        if errors:
            raise errors.pop()
        return function(*args, **options)

    return failing


class Failing(sqlite3.Connection):
    """A connection that fails where a statement begins like this."""

    where, count = None, 0

    def execute(self, sql, *args):
        if Failing.where is not None and sql.startswith(Failing.where):
            Failing.count += 1
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *args)


@pytest.fixture
def connections(monkeypatch):
    """The connections of SQLite from now on."""
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Failing))
    Failing.count = 0
    yield Failing
    Failing.where = None


async def step():
    pass


@make_durable
async def many(steps: int) -> int:
    for _ in range(steps):
        await step()
    return steps


async def test_a_log_that_cannot_be_tidied_up(tmp_path, connections):
    connections.where = "PRAGMA wal_checkpoint"
    backend = DurableBackend(SQLiteStore(tmp_path / "durable.db", synchronous="NORMAL"))
    async with asyncio.timeout(60):
        assert await many(2500, orchestration_backend=backend, instance_id="it") == 2500
    assert connections.count > 0


async def test_a_transaction_that_cannot_be_rolled_back(tmp_path, connections):
    store = SQLiteStore(tmp_path / "durable.db")
    record, _ = await store.acquire(new())
    transaction = await store.begin(record)
    connections.where = "ROLLBACK"
    await transaction.roll_back()
    while not connections.count:
        await asyncio.sleep(0.01)
    connections.where = None
    async with asyncio.timeout(10):
        assert (await store.read("one")).epoch == record.epoch
    await store.close()


async def test_a_thread_that_cannot_be_started(tmp_path, monkeypatch):
    store = SQLiteStore(tmp_path / "durable.db")
    with monkeypatch.context() as patch:
        error = RuntimeError("can't start new thread")
        patch.setattr(threading.Thread, "start", failing_once(threading.Thread.start, error))
        with pytest.raises(StoreError, match="can't start new thread; nothing was changed"):
            await store.read("one")
    async with asyncio.timeout(10):
        assert await store.read("one") is None
    await store.close()


async def test_a_thread_for_a_server_that_cannot_be_started(redis_keys, monkeypatch):
    from durable_ast.stores.redis import RedisStore

    store = RedisStore(redis_keys.url, prefix=redis_keys.name)
    with monkeypatch.context() as patch:
        error = OSError(errno.EMFILE, "Too many open files")
        patch.setattr(asyncio, "new_event_loop", failing_once(asyncio.new_event_loop, error))
        with pytest.raises(StoreError, match="Too many open files"):
            await store.read("one")
    async with asyncio.timeout(10):
        assert await store.read("one") is None
        await store.close()


async def test_a_lock_for_which_there_was_no_room(tmp_path, monkeypatch):
    """Whoever had no lock would be taken for dead, and what it runs would be run by another as well."""
    one, two = SQLiteStore(tmp_path / "durable.db"), SQLiteStore(tmp_path / "durable.db")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", failing_once(Path.mkdir, OSError(errno.ENOSPC, "No space left")))
        with pytest.raises(StoreError, match="No space left"):
            await one.acquire(new())
    await one.acquire(new())
    with pytest.raises(InstanceBusy):
        await two.acquire(new())
    await one.close()
    await two.close()


async def test_a_file_system_without_locks(tmp_path, monkeypatch):
    """It is not as if another process had them: nobody would ever let go."""
    fcntl = pytest.importorskip("fcntl")
    store = DiskStateStore(tmp_path)
    monkeypatch.setattr(fcntl, "flock", failing_once(fcntl.flock, OSError(errno.ENOLCK, "No locks available")))
    with pytest.raises(StoreError, match="No locks available"):
        await store.acquire(new())


async def test_a_schema_of_a_later_version_is_refused_each_time(postgres_schema):
    import psycopg

    from durable_ast.stores.postgres import PostgresStore

    store = PostgresStore(postgres_schema.conninfo, schema=postgres_schema.name)
    await store.read("one")
    await store.close()
    with psycopg.connect(postgres_schema.conninfo, autocommit=True) as connection:
        connection.execute(f"UPDATE {postgres_schema.name}.meta SET version = 99")
    store = PostgresStore(postgres_schema.conninfo, schema=postgres_schema.name)
    for _ in range(2):
        with pytest.raises(NewerFormatError):
            await store.read("one")
    await store.close()


async def test_a_notice_that_means_nothing(redis_keys, caplog):
    """Who listens renews the lease as well, and goes on."""
    import redis

    from durable_ast.stores.redis import RedisStore

    store = RedisStore(redis_keys.url, prefix=redis_keys.name)
    await store.acquire(new())
    seen = await store.changed("one", None, 1)
    channel = f"{{{redis_keys.name}}}:changed"
    with redis.Redis.from_url(redis_keys.url) as client, caplog.at_level(logging.ERROR):
        while "it begins again" not in caplog.text:
            client.publish(channel, b"\xff")
            await asyncio.sleep(0.02)
        async with asyncio.timeout(30):
            while await store.changed("one", seen, 0.1) == seen:
                client.publish(channel, b"one")
    await store.close()


class Fetched(Codec):
    """Asks for its key each time."""

    is_away = False

    def encode(self, data, place):
        return data

    def decode(self, data, place):
        if self.is_away:
            raise ConnectionError("the server of keys is away")
        return data


async def test_a_key_that_could_not_be_fetched(tmp_path):
    codec = Fetched()
    store = CodedStore(SQLiteStore(tmp_path / "durable.db"), codec)
    await store.enqueue(new())
    codec.is_away = True
    with pytest.raises(ConnectionError):
        await store.acquire(new())
    with pytest.raises(ConnectionError):
        await store.claim([new().program], 10)
    codec.is_away = False
    assert (await store.acquire(new()))[0].instance_id == "one"
    await store.close()
