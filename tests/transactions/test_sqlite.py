"""Blocks of SQL in the file of a SQLite store: what they may do, and what waits for them."""

import asyncio
import contextlib
import sqlite3

import pytest

from durable_ast import (
    DurableBackend,
    SQLiteStore,
    Status,
    TransactionError,
    Worker,
    make_durable,
    step,
    transaction,
    wait_for_event,
)


@pytest.fixture
async def backend(tmp_path):
    store = SQLiteStore(tmp_path / "it.db")
    yield DurableBackend(store)
    await store.close()


def query(backend, text):
    with contextlib.closing(sqlite3.connect(backend.state_store.path)) as connection:
        return connection.execute(text).fetchall()


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("DELETE FROM durable_instances", "the store's own"),
        ("SELECT payload FROM durable_messages", "the store's own"),
        ("DROP TABLE durable_parts", "the store's own"),
        ("ALTER TABLE durable_states RENAME TO mine", "the store's own"),
        ("CREATE TRIGGER mine AFTER INSERT ON durable_owners BEGIN SELECT 1; END", "the store's own"),
        ("ATTACH 'other.db' AS other", "attached"),
        ("PRAGMA synchronous = OFF", "PRAGMA synchronous"),
        ("COMMIT", "COMMIT"),
        ("BEGIN", "BEGIN"),
    ],
)
async def test_what_is_the_stores_own_is_out_of_reach(backend, statement, reason):
    @make_durable
    async def reach():
        async with transaction() as connection:
            with pytest.raises(TransactionError, match=reason):
                await connection.execute(statement)
            await connection.execute("CREATE TABLE mine (line)")
        return "went on"

    assert await reach(orchestration_backend=backend, instance_id="it") == "went on"
    assert query(backend, "SELECT * FROM mine") == []


async def test_a_statement_that_rolls_everything_back_is_noticed(backend):
    @make_durable
    async def book():
        async with transaction() as connection:
            await connection.execute("CREATE TABLE mine (line UNIQUE)")
            await connection.execute("INSERT INTO mine VALUES (1)")
            with contextlib.suppress(sqlite3.IntegrityError):
                await connection.execute("INSERT OR ROLLBACK INTO mine VALUES (1)")

    with pytest.raises(TransactionError, match="rolled the transaction back"):
        await book(orchestration_backend=backend, instance_id="it")
    assert (await backend.store.read("it")).status is Status.ERROR


async def test_many_rows_at_once(backend):
    @make_durable
    async def book():
        async with transaction() as connection:
            await connection.execute("CREATE TABLE mine (number, text)")
            await connection.executemany("INSERT INTO mine VALUES (?, ?)", ((n, str(n)) for n in range(1000)))
            cursor = await connection.execute("SELECT number FROM mine WHERE text = :text", {"text": "7"})
            assert [column[0] for column in cursor.description] == ["number"]
            rows = await (await connection.execute("SELECT * FROM mine LIMIT 4")).fetchmany(3)
            return rows, await cursor.fetchall(), await cursor.fetchone()

    done = await book(orchestration_backend=backend, instance_id="it")
    assert done == ([(0, "0"), (1, "1"), (2, "2")], [(7,)], None)


async def test_the_event_loop_goes_on_while_a_statement_takes_its_time(backend):
    turns = 0

    async def turn():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    @make_durable
    async def book():
        async with transaction() as connection:
            slow = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300000) SELECT max(i) FROM n"
            cursor = await connection.execute(slow)
            return await cursor.fetchone()

    turning = asyncio.create_task(turn())
    assert await book(orchestration_backend=backend, instance_id="it") == (300_000,)
    turning.cancel()
    assert turns > 5


async def test_others_wait_for_the_end_of_a_block_and_do_not_see_into_it(backend):
    entered, leave = asyncio.Event(), asyncio.Event()

    @make_durable
    async def book():
        async with transaction() as connection:
            await connection.execute("CREATE TABLE mine (line)")
            entered.set()
            await leave.wait()
            await connection.execute("INSERT INTO mine VALUES (1)")

    @step
    async def ready():
        return 1

    @make_durable
    async def other():
        return await ready()

    running = asyncio.create_task(book(orchestration_backend=backend, instance_id="it"))
    await entered.wait()
    waiting = asyncio.create_task(other(orchestration_backend=backend, instance_id="other"))
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert not waiting.done()
    assert query(backend, "SELECT 1 FROM sqlite_master WHERE name = 'mine'") == []
    leave.set()
    await running
    assert await waiting == 1


async def test_what_is_given_up_in_a_block_lets_others_go_on(backend):
    """By a worker that is drained, and whose patience ends."""
    entered = asyncio.Event()

    @make_durable
    async def book():
        async with transaction() as connection:
            await connection.execute("CREATE TABLE mine (line)")
            entered.set()
            if not is_second:
                await asyncio.sleep(60)
        return "done"

    is_second = False
    handle = await book.start(instance_id="it", orchestration_backend=backend)
    worker = Worker(backend.store, [book])
    working = asyncio.create_task(worker.run(grace=0.1))
    await entered.wait()
    worker.drain()
    assert not await working
    assert query(backend, "SELECT 1 FROM sqlite_master WHERE name = 'mine'") == []
    is_second = True
    await Worker(backend.store, [book]).run_until_idle()
    assert await handle.result() == "done"


async def test_a_worker_that_is_drained_hands_over_behind_the_block(backend):
    entered, blocks = asyncio.Event(), []

    @make_durable
    async def book():
        for number in range(2):
            async with transaction() as connection:
                await connection.execute("CREATE TABLE IF NOT EXISTS mine (line)")
                await connection.execute("INSERT INTO mine VALUES (?)", (number,))
                blocks.append(number)
                entered.set()
                await asyncio.sleep(0.05)
        return "done"

    handle = await book.start(instance_id="it", orchestration_backend=backend)
    worker = Worker(backend.store, [book])
    working = asyncio.create_task(worker.run())
    await entered.wait()
    worker.drain()
    assert await working
    assert query(backend, "SELECT line FROM mine") == [(0,)]
    await Worker(backend.store, [book]).run_until_idle()
    assert await handle.result() == "done"
    assert query(backend, "SELECT line FROM mine") == [(0,), (1,)]
    assert blocks == [0, 1]


async def test_what_was_asked_for_meanwhile_is_done_when_a_block_is_cancelled(backend):
    entered = asyncio.Event()

    @make_durable
    async def book():
        async with transaction() as connection:
            await connection.execute("CREATE TABLE mine (line)")
            entered.set()
            await asyncio.sleep(60)

    running = asyncio.create_task(book(orchestration_backend=backend, instance_id="it"))
    await entered.wait()
    published = backend.publish_event("other", "on")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await asyncio.wrap_future(published)
    assert query(backend, "SELECT 1 FROM sqlite_master WHERE name = 'mine'") == []


async def test_a_block_behind_a_pause_in_memory(backend):
    @make_durable
    async def book():
        await wait_for_event("on")
        async with transaction() as connection:
            await connection.execute("CREATE TABLE mine (line)")
        return "done"

    running = asyncio.create_task(book(orchestration_backend=backend, instance_id="it", wait=True))
    await asyncio.sleep(0.05)
    backend.publish_event("it", "on")
    assert await running == "done"


async def test_a_file_may_hold_tables_and_a_version_of_the_users_own(tmp_path):
    file = tmp_path / "app.db"
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.executescript("CREATE TABLE messages (text); CREATE TABLE instances (name); PRAGMA user_version = 7")

    @make_durable
    async def book():
        async with transaction() as connection:
            await connection.execute("INSERT INTO messages VALUES ('mine')")
        return "done"

    store = SQLiteStore(file)
    assert await book(orchestration_backend=DurableBackend(store), instance_id="it") == "done"
    await store.close()
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT text FROM messages").fetchall() == [("mine",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (7,)
