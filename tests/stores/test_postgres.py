"""The store in PostgreSQL, on a real server."""

import asyncio
import contextlib
import time
from pathlib import Path

import pytest

pytest.importorskip("psycopg")

from durable_ast import DurableBackend, StaleOwnerError, make_durable
from durable_ast.stores import lease
from durable_ast.stores.postgres import PostgresStore
from durable_ast.testing.store_conformance import PROGRAMS, StoreConformance, commit, new


class TestPostgres(StoreConformance):
    lease = 3.0

    @pytest.fixture(autouse=True)
    def _schema(self, postgres_schema):
        self._schema = postgres_schema

    def open(self, place: Path):
        return PostgresStore(self._schema.conninfo, schema=self._schema.name, lease=self.lease)


@pytest.fixture
async def open_store(postgres_schema):
    stores = []

    def open_one(**options):
        stores.append(PostgresStore(postgres_schema.conninfo, schema=postgres_schema.name, **options))
        return stores[-1]

    yield open_one
    for store in stores:
        await store.close()


async def test_a_blocked_event_loop_does_not_lose_the_lease(open_store):
    store, other = open_store(lease=0.5), open_store(lease=0.5)
    record, _ = await store.acquire(new())
    time.sleep(1.5)
    assert (await other.claim(PROGRAMS, 1)).records == []
    await commit(store, record, call_stack=b"still mine")


async def test_who_could_not_renew_stops_before_another_goes_on(open_store, monkeypatch):
    store, other = open_store(lease=0.5), open_store(lease=60.0)
    record, _ = await store.acquire(new())
    monkeypatch.setattr(PostgresStore, "_renew", _never)
    taken = None
    while taken is None:
        with contextlib.suppress(StaleOwnerError):
            record = await commit(store, record)
        claimed = (await other.claim(PROGRAMS, 1)).records
        taken = claimed[0] if claimed else None
    assert not store._lease.is_held, "two could write at a time"
    with pytest.raises(StaleOwnerError):
        await commit(store, record)
    await commit(other, taken)


async def test_a_clock_that_is_wrong_takes_nothing_from_anybody(open_store, monkeypatch):
    store, other = open_store(lease=5.0), open_store(lease=5.0)
    record, _ = await store.acquire(new())
    wrong = time.time() + 86_400
    monkeypatch.setattr(time, "time", lambda: wrong)
    assert (await other.claim(PROGRAMS, 1)).records == []
    await commit(store, record)


async def test_work_goes_on_when_the_server_cuts_its_connections(open_store, postgres_schema):
    import psycopg

    backend = DurableBackend(open_store())
    seen, cut = [], []

    async def step(number):
        seen.append(number)
        if number % 5 == 0:
            await asyncio.to_thread(cut_connections, postgres_schema)

    @make_durable(deep=False)
    async def count():
        for number in range(20):
            await step(number)
        return number

    def cut_connections(schema):
        with psycopg.connect(schema.conninfo, autocommit=True) as connection:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
            cut.extend(connection.execute(query, (f"durable_ast {schema.name}",)).fetchall())

    assert await count(orchestration_backend=backend, instance_id="it") == 19
    assert seen == list(range(20))
    assert len(cut) >= 4


async def test_texts_are_kept_whatever_encoding_a_connection_has(postgres_schema, monkeypatch):
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")
    store = PostgresStore(postgres_schema.conninfo, schema=postgres_schema.name)
    records = [(await store.acquire(new(name)))[0] for name in ("zwölf", "ñ")]
    await asyncio.gather(*(commit(store, record, error=f"in {record.instance_id}") for record in records))
    await asyncio.wrap_future(store.publish("zwölf", "ü", b""))
    await store.close()
    monkeypatch.delenv("PGCLIENTENCODING")
    other = PostgresStore(postgres_schema.conninfo, schema=postgres_schema.name)
    assert [(await other.read(name)).error for name in ("zwölf", "ñ")] == ["in zwölf", "in ñ"]
    assert [message.name for message in await other.messages("zwölf")] == ["ü"]
    await other.close()


async def test_what_a_forgotten_owner_takes_is_claimed_by_others(open_store, postgres_schema):
    """A process that was stopped while it asked for an instance, for so long that others have buried it."""
    import psycopg

    dead, alive = open_store(), open_store()
    await dead.acquire(new("first"))
    with psycopg.connect(postgres_schema.conninfo, autocommit=True) as connection:
        connection.execute(f"DELETE FROM {postgres_schema.name}.owners")
    await dead.acquire(new("second"))
    async with asyncio.timeout(30):
        while "second" not in [record.instance_id for record in (await alive.claim(PROGRAMS, 10)).records]:
            await asyncio.sleep(0.05)


async def _never(self, connection):
    """A renewal that does not get through."""


def test_a_lease_is_over_when_its_time_is(monkeypatch):
    own = lease.Lease(10.0)
    own.renewed(lease.now())
    later = lease.now() + 10.0
    assert own.is_held
    monkeypatch.setattr(lease, "now", lambda: later)
    assert not own.is_held
