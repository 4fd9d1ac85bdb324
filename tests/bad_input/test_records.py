"""Stored records that are damaged, foreign, or from the future: an error, and the record is kept."""

import pickle
import random
import sqlite3
from contextlib import closing

import pytest

from durable_ast import (
    CorruptStateError,
    DiskStateStore,
    DurableBackend,
    DurableError,
    NewerFormatError,
    PauseForEventException,
    SQLiteStore,
    StateStore,
    make_durable,
    wait_for_event,
)


async def step(value):
    return value


@make_durable
async def collect(names: list[str]) -> dict[str, object]:
    found: dict[str, object] = {}
    for index, name in enumerate(names):
        found[name] = await step({"index": index, "name": name})
    found["answer"] = await wait_for_event("answer")
    return found


NAMES = ["one", "two", "three"]
RESULT = {name: {"index": index, "name": name} for index, name in enumerate(NAMES)} | {"answer": 7}


async def call(store: StateStore) -> object:
    return await collect(NAMES, orchestration_backend=DurableBackend(store), instance_id="it")


@pytest.fixture
async def paused_file(tmp_path):
    """The file of an instance that waits."""
    with pytest.raises(PauseForEventException):
        await call(DiskStateStore(tmp_path))
    return tmp_path / "it.pkl"


async def refuse(file, damaged: bytes, kind: type[DurableError] = DurableError) -> str:
    """The error of a call that finds this record, which it must leave as it is."""
    file.write_bytes(damaged)
    store = DiskStateStore(file.parent)
    try:
        with pytest.raises(kind) as refusal:
            await call(store)
    finally:
        await store.close()
    assert not isinstance(refusal.value, PauseForEventException), "it was taken for good"
    assert file.read_bytes() == damaged, "the damaged record was not kept"
    return str(refusal.value)


async def test_a_truncated_file(paused_file):
    whole = paused_file.read_bytes()
    for length in (*range(0, len(whole), 61), *range(len(whole) - 12, len(whole))):
        message = await refuse(paused_file, whole[:length], CorruptStateError)
        assert str(paused_file) in message
    paused_file.write_bytes(whole)
    store = DiskStateStore(paused_file.parent)
    DurableBackend(store).publish_event("it", "answer", 7)
    assert await call(store) == RESULT


async def test_a_flipped_bit_anywhere(paused_file):
    whole = paused_file.read_bytes()
    chance = random.Random(2)
    for position in range(0, len(whole), 17):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << chance.randrange(8)
        await refuse(paused_file, bytes(damaged), CorruptStateError)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 500,
        b"not a pickle",
        pickle.dumps(None),
        pickle.dumps({}),
        pickle.dumps({"format": 1}),
        b"\x80\x05.",
    ],
    ids=repr,
)
async def test_a_file_with_something_else(paused_file, content):
    await refuse(paused_file, content, CorruptStateError)


async def test_a_damaged_message(tmp_path):
    store = DiskStateStore(tmp_path)
    with pytest.raises(PauseForEventException):
        await call(store)
    DurableBackend(store).publish_event("it", "answer", 7).result()
    (message,) = (tmp_path / "it.mail").iterdir()
    for damaged in (message.read_bytes()[:-5], b"", b"x"):
        message.write_bytes(damaged)
        with pytest.raises(CorruptStateError, match=r"it\.mail"):
            await call(store)
        assert message.read_bytes() == damaged


class Shelf(StateStore):
    """A store of a user's own."""

    def __init__(self) -> None:
        self.states: dict[str, object] = {}

    async def load(self, instance_id):
        return self.states.get(instance_id)

    async def save(self, instance_id, state):
        self.states[instance_id] = state


async def test_a_record_of_a_later_version():
    shelf = Shelf()
    with pytest.raises(PauseForEventException):
        await call(shelf)
    later = shelf.states["it"] | {"format": 99, "what": "nobody knows yet"}
    shelf.states["it"] = later
    with pytest.raises(NewerFormatError, match=r"'it'.*format 99.*upgrade durable-ast"):
        await call(shelf)
    assert shelf.states["it"] == later


@pytest.mark.parametrize("state", [7, "state", [], {}, {"format": "one"}, {"format": 1, "status": "?"}], ids=repr)
async def test_a_state_that_is_none(state):
    shelf = Shelf()
    shelf.states["it"] = state
    with pytest.raises(CorruptStateError):
        await call(shelf)
    assert shelf.states["it"] == state


# SQLite


async def paused_database(tmp_path):
    store = SQLiteStore(tmp_path / "durable.db")
    with pytest.raises(PauseForEventException):
        await call(store)
    await store.close()
    return tmp_path / "durable.db"


def edit(file, statement: str, *values: object) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(file)) as connection, connection:
        return connection.execute(statement, values).fetchall()


async def refuse_database(file, kind: type[DurableError] = DurableError) -> str:
    store = SQLiteStore(file)
    try:
        with pytest.raises(kind) as refusal:
            await call(store)
    finally:
        await store.close()
    assert not isinstance(refusal.value, PauseForEventException), "it was taken for good"
    return str(refusal.value)


async def test_a_flipped_bit_in_a_row(tmp_path):
    file = await paused_database(tmp_path)
    ((whole,),) = edit(file, "SELECT call_stack FROM durable_instances")
    chance = random.Random(3)
    for position in range(0, len(whole), 9):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << chance.randrange(8)
        edit(file, "UPDATE durable_instances SET call_stack = ?", bytes(damaged))
        await refuse_database(file, CorruptStateError)
        assert edit(file, "SELECT call_stack, status FROM durable_instances") == [(bytes(damaged), "WAITING")]
    edit(file, "UPDATE durable_instances SET call_stack = ?", whole)
    DurableBackend(SQLiteStore(file)).publish_event("it", "answer", 7).result()
    assert await call(SQLiteStore(file)) == RESULT


@pytest.mark.parametrize("assignment", ["status = 'NONSENSE'", "retry = x'00'", "awaited = '{'", "call_stack = x''"])
async def test_a_damaged_row(tmp_path, assignment):
    file = await paused_database(tmp_path)
    edit(file, f"UPDATE durable_instances SET {assignment}")
    before = edit(file, "SELECT status, retry, awaited, call_stack FROM durable_instances")
    await refuse_database(file, CorruptStateError)
    assert edit(file, "SELECT status, retry, awaited, call_stack FROM durable_instances") == before


async def test_a_damaged_payload(tmp_path):
    file = await paused_database(tmp_path)
    DurableBackend(SQLiteStore(file)).publish_event("it", "answer", 7).result()
    edit(file, "UPDATE durable_messages SET payload = x'017f'")
    await refuse_database(file, CorruptStateError)
    assert len(edit(file, "SELECT * FROM durable_messages")) == 1


@pytest.mark.parametrize(
    "content", [b"x" * 4096, b"SQLite format 3\0" + b"\0" * 5000, b"{}"], ids=["x", "zeros", "json"]
)
async def test_a_file_that_is_no_database(tmp_path, content):
    file = tmp_path / "durable.db"
    file.write_bytes(content)
    assert str(file) in await refuse_database(file, CorruptStateError)
    assert file.read_bytes() == content


async def test_a_database_of_another_program(tmp_path):
    file = tmp_path / "durable.db"
    edit(file, "CREATE TABLE durable_instances (name TEXT)")
    assert str(file) in await refuse_database(file)
    assert edit(file, "SELECT * FROM durable_instances") == []


async def test_a_database_of_a_later_version(tmp_path):
    file = await paused_database(tmp_path)
    edit(file, "UPDATE durable_schema SET version = 1000")
    assert "later version" in await refuse_database(file, NewerFormatError)


async def test_a_truncated_database(tmp_path):
    """Whatever is left of it: an error, or all that was stored."""
    file = await paused_database(tmp_path)
    whole = file.read_bytes()
    for length in range(100, len(whole), 2048):
        file.write_bytes(whole[:length])
        store = SQLiteStore(file)
        try:
            with pytest.raises((CorruptStateError, PauseForEventException)):
                await call(store)
        finally:
            await store.close()
