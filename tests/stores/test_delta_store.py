"""Large states in every store: a checkpoint writes what has changed, and what is read is whole."""

import asyncio
import contextlib
import random

import pytest

from durable_ast import (
    CorruptStateError,
    DurableBackend,
    DurableError,
    PauseForEventException,
    SQLiteStore,
    make_durable,
)
from durable_ast.backends.durable import instance_store
from durable_ast.state.codec import Chain, Compression, Signing
from durable_ast.state.schema import Status
from durable_ast.stores.coded import CodedStore
from durable_ast.stores.delegating import DelegatingStore
from durable_ast.stores.sqlite_transaction import SQLiteTransaction
from durable_ast.testing.store_conformance import PROGRAMS, commit, new


class Counting(DelegatingStore):
    """Counts the bytes that the store behind it is given."""

    def __init__(self, inner):
        super().__init__(inner)
        self.sizes = []

    def commit(self, record, consumed, flush, parts, outbox=()):
        values = [record.state or b"", *record.retry, *(value for value in parts.values() if value is not None)]
        self.sizes.append(sum(map(len, values)))
        return self.inner.commit(record, consumed, flush, parts, outbox)


@pytest.fixture(params=["sqlite", "postgres", "redis", "sqlite, coded"])
async def open_store(request, tmp_path):
    """Opens stores, any number of which keep the same instances."""
    kind, _, is_coded = request.param.partition(",")
    if kind == "postgres":
        from durable_ast.stores.postgres import PostgresStore

        schema = request.getfixturevalue("postgres_schema")
    elif kind == "redis":
        from durable_ast.stores.redis import RedisStore

        keys = request.getfixturevalue("redis_keys")
    stores = []

    def open_one():
        if kind == "postgres":
            store = PostgresStore(schema.conninfo, schema=schema.name)
        elif kind == "redis":
            store = RedisStore(keys.url, prefix=keys.name)
        else:
            store = SQLiteStore(tmp_path / "durable.db", synchronous="NORMAL")
        stores.append(store)
        return CodedStore(store, Chain([Compression(), Signing("secret")])) if is_coded else store

    yield open_one
    for store in stores:
        await store.close()


@make_durable(deep=False)
async def carry(steps: int) -> int:
    items = [f"element {number} {'x' * 90}" for number in range(10_000)]
    for step in range(steps):
        items[step * 7919 % 10_000] = await changed(step)
    return sum(map(len, items))


async def changed(step):
    await asyncio.sleep(0)
    return f"changed in step {step} {'y' * (step % 50)}"


async def test_what_a_checkpoint_writes_grows_with_what_changed(open_store):
    """A list of a megabyte is carried through 300 steps, and one element changes in each."""
    store = Counting(open_store())
    await carry(300, orchestration_backend=DurableBackend(store), instance_id="it")
    assert max(store.sizes) > 1_000_000, "the list was never written"
    assert sum(store.sizes) < 1_300_000 + 300 * 2_000


@make_durable(deep=False)
async def chat(tokens: int) -> str:
    text = "the beginning, " * 20_000
    for token in range(tokens):
        text += await changed(token)
    return text[-60:]


async def test_a_text_that_grows_is_not_written_again(open_store):
    store = Counting(open_store())
    await chat(300, orchestration_backend=DurableBackend(store), instance_id="it")
    assert max(store.sizes) > 300_000
    assert sum(store.sizes) < 2 * 330_000 + 300 * 2_000


@make_durable
async def branches(steps: int) -> int:
    async def one(number: int) -> int:
        items = [f"branch {number}, element {place} {'x' * 90}" for place in range(1_000)]
        for step in range(steps):
            items[step * 7919 % 1_000] = await changed(step)
        return sum(map(len, items))

    return sum(await asyncio.gather(*(one(number) for number in range(3))))


async def test_branches_write_what_changed_in_them(open_store):
    store = Counting(open_store())
    expected = await branches(60, orchestration_backend=DurableBackend(), instance_id="it")
    assert await branches(60, orchestration_backend=DurableBackend(store), instance_id="it") == expected
    assert sum(store.sizes) < 5 * 350_000 + len(store.sizes) * 10_000
    assert await store.parts("it") == {}


@make_durable(deep=False)
async def handling(steps: int) -> int:
    items = [f"element {number} {'x' * 90}" for number in range(10_000)]
    await changed(0)
    try:
        raise ValueError("meanwhile")
    except ValueError:
        for step in range(steps):
            items[step * 7919 % 10_000] = await changed(step)
    return sum(map(len, items))


async def test_the_state_before_an_exception_is_not_written_again_while_it_is_handled(open_store):
    store = Counting(open_store())
    await handling(100, orchestration_backend=DurableBackend(store), instance_id="it")
    assert sum(store.sizes) < 4 * 1_100_000 + 100 * 4_000


@make_durable(deep=False)
async def in_two_parts() -> str:
    items = [f"element {number} {'x' * 90}" for number in range(5_000)]
    same = items
    for step in range(40):
        items[step] = await changed(step)
    raise PauseForEventException("go on")
    for step in range(40, 80):
        items[step] = await changed(step)
    return f"{same is items} {[same[step].split()[3] for step in range(80)] == [str(step) for step in range(80)]}"


async def test_who_takes_over_goes_on_with_the_patches(open_store):
    store, other = Counting(open_store()), Counting(open_store())
    with pytest.raises(PauseForEventException):
        await in_two_parts(orchestration_backend=DurableBackend(store), instance_id="it")
    backend = DurableBackend(other)
    await asyncio.wrap_future(backend.publish_event("it", "go on"))
    assert await in_two_parts(orchestration_backend=backend, instance_id="it") == "True True"
    assert max(store.sizes) > 500_000 > 100_000 > sum(other.sizes), "the list was written anew"


_chance = random.Random(3)


def large():
    return _chance.randbytes(60_000)


async def test_others_read_it_whole_while_it_moves(open_store):
    store, other = instance_store(open_store()), instance_store(open_store())
    record, _ = await store.acquire(new())
    states = {large()}
    is_over = asyncio.Event()

    async def move():
        nonlocal record
        (state,) = states
        for number in range(400):
            state = state[:-50] + b"%50d" % number
            state = bytes([number % 256]) * 60_000 if number % 150 == 149 else state
            states.add(state)
            record = await commit(store, record, call_stack=state, parts={"b/1": state[::-1]})
        is_over.set()

    async def look():
        found = 0
        while not is_over.is_set():
            with contextlib.suppress(TimeoutError):
                seen = await other.read("one")
                parts = await other.parts("one", "b/")
                assert seen.state in {*states, b"start"}
                assert parts.get("b/1", b"")[::-1] in {*states, b""}
                found += 1
        return found

    _, found = await asyncio.gather(move(), look())
    assert found > 5
    assert [each.state for each in await other.records()] == [record.state]
    whole, parts = await other.whole("one")
    assert (whole.state, parts) == (record.state, {"b/1": record.state[::-1]})
    assert (await other.load("one"))["call_stack"] == record.state


async def test_what_is_kept_beside_a_state_counts_as_state(open_store):
    store = instance_store(open_store())
    record, _ = await store.acquire(new())
    await commit(store, record, call_stack=large(), parts={"b/1": large(), "v/1": b"value"})
    (size,) = (await store.sizes()).largest
    assert 40_000 < size.state < 61_000 > size.parts > 40_000


async def test_an_end_keeps_its_state_and_nothing_beside_it(open_store):
    raw = open_store()
    store = instance_store(raw)
    record, _ = await store.acquire(new())
    record = await commit(store, record, call_stack=large(), parts={"b/1": large(), "v/1": b"value"})
    await commit(store, record, status=Status.CANCELLED)
    assert (await raw.read("one")).state == record.state
    assert await raw.parts("one") == {"v/1": b"value"}


async def test_an_instance_whose_base_is_gone_is_put_aside(open_store):
    raw = open_store()
    store = instance_store(raw)
    for name in ("damaged", "sound"):
        record, _ = await store.acquire(new(name))
        await commit(store, record, call_stack=large())
        store.release(name, record.epoch)
    await raw.drop_parts("damaged", "b/")
    with pytest.raises(CorruptStateError):
        await store.read("damaged")
    with pytest.raises(CorruptStateError):
        await store.acquire(new("damaged"))
    claimed = await store.claim(PROGRAMS, 10)
    assert [record.instance_id for record in claimed.records] == ["sound"]
    assert (await raw.read("damaged")).status is Status.PARKED


@pytest.mark.parametrize("open_store", ["sqlite", "postgres"], indirect=True)
async def test_a_transaction_that_is_rolled_back_is_not_built_upon(open_store):
    store = instance_store(open_store())
    record, _ = await store.acquire(new())
    state = large()
    record = await commit(store, record, call_stack=state)
    for number in range(3):
        state = state[:-30_000] + bytes([number]) * 30_000
        transaction = await store.begin(record)
        with contextlib.suppress(Exception):
            await transaction.connection.execute("SELECT 1 / 0")  # PostgreSQL gives up the transaction
        ended = record.copy()
        ended.call_stack, ended.sequence = state, record.sequence + 1
        if isinstance(transaction, SQLiteTransaction):
            await transaction.roll_back()
        with pytest.raises(DurableError):
            await store.commit_within(transaction, ended, ())
    state = state[:100] + b"changed" + state[100:]
    record = await commit(store, record, call_stack=state)
    assert (await instance_store(open_store()).read("one")).state == state
