"""How often a PostgreSQL store waits for its server, counted on the wire."""

import asyncio

import pytest

pytest.importorskip("psycopg")

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from durable_ast.state.schema import Outgoing
from durable_ast.stores.postgres import PostgresStore
from durable_ast.testing.store_conformance import commit, new

from .wire import Wire


@pytest.fixture
async def wired(postgres_schema):
    facts = conninfo_to_dict(postgres_schema.conninfo)
    if str(facts.get("host", "")).startswith("/") or "host" not in facts:
        pytest.skip("the server is not reached through a port")
    wire = Wire(facts["host"], facts.get("port", 5432))
    conninfo = make_conninfo(
        postgres_schema.conninfo, host="127.0.0.1", port=await wire.serve(), sslmode="disable", gssencmode="disable"
    )
    store = PostgresStore(conninfo, schema=postgres_schema.name)
    yield store, wire
    await store.close()
    await wire.close()


async def test_a_checkpoint_is_one_round_trip_whatever_belongs_to_it(wired):
    store, wire = wired
    record, _ = await store.acquire(new())
    numbers = [await asyncio.wrap_future(store.publish("one", "event", b"%d" % number)) for number in range(40)]
    for place, number in enumerate(numbers):
        if place == 10:  # by then psycopg has prepared the statement
            before = max(wire.turns)
        record = await commit(
            store,
            record,
            call_stack=b"step",
            parts={"b/1": b"branch", "b/2": None},
            consumed=(number,),
            outbox=(Outgoing("two", "letter", b""),),
        )
    assert max(wire.turns) - before == 30


async def test_what_many_instances_write_at_once_shares_its_round_trips(wired):
    store, wire = wired
    records = [(await store.acquire(new(f"it-{number}")))[0] for number in range(100)]
    before = max(wire.turns)
    await asyncio.gather(*(commit(store, record, call_stack=b"step") for record in records))
    assert max(wire.turns) - before <= 3
