"""A block of SQL and the checkpoint behind it: both have happened, or neither."""

import asyncio
import contextlib
import sqlite3

import pytest

from durable_ast import (
    Durability,
    DurableBackend,
    NotPersistableError,
    Status,
    TransactionError,
    Worker,
    make_durable,
    open_store,
    step,
    transaction,
    wait_for_event,
)


class Ledger:
    """A table beside a store, and how a test gets at both."""

    def __init__(self, open_one):
        self._open = open_one
        self.stores = []

    def backend(self, **options):
        """As another process has it."""
        self.stores.append(self._open(**options))
        return DurableBackend(self.stores[-1])


class InSQLite(Ledger):
    mark, schema = "?", ""
    error = sqlite3.IntegrityError

    def __init__(self, path):
        super().__init__(lambda **options: open_store(path, **options))
        self.path = path
        self.query("CREATE TABLE ledger (line TEXT NOT NULL UNIQUE)")

    def query(self, text):
        with contextlib.closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            return connection.execute(text).fetchall()


class InPostgres(Ledger):
    mark = "%s"

    def __init__(self, given):
        import psycopg

        options = {"schema": given.name}
        super().__init__(lambda **more: open_store(given.conninfo, **options, **more))
        self.error = psycopg.errors.UniqueViolation
        self._given = given
        self.schema = f"{given.name}."
        self.query(f"CREATE SCHEMA {given.name}")
        self.query(f"CREATE TABLE {self.schema}ledger (line TEXT NOT NULL UNIQUE DEFERRABLE INITIALLY IMMEDIATE)")

    def query(self, text):
        import psycopg

        with psycopg.connect(self._given.conninfo, autocommit=True) as connection:
            cursor = connection.execute(text)
            return cursor.fetchall() if cursor.description else []


@pytest.fixture(params=["sqlite", "postgres"])
async def ledger(request, tmp_path):
    if request.param == "sqlite":
        made = InSQLite(tmp_path / "it.db")
    else:
        pytest.importorskip("psycopg")
        made = InPostgres(request.getfixturevalue("postgres_schema"))
    yield made
    for store in made.stores:
        await store.close()


def lines(ledger):
    return [line for (line,) in ledger.query(f"SELECT line FROM {ledger.schema}ledger ORDER BY line")]


async def write(connection, line):
    """Part of a block, as a function of its own."""
    return await connection.execute(f"INSERT INTO {TABLE} VALUES ({MARK})", (line,))


@pytest.fixture(autouse=True)
def _names(ledger):
    global TABLE, MARK
    TABLE, MARK = f"{ledger.schema}ledger", ledger.mark


@step
async def ready():
    return "ready"


async def call(program, ledger, *args, **options):
    backend = ledger.backend(**options)
    return await program(*args, orchestration_backend=backend, instance_id="it")


async def test_what_is_written_is_there_and_can_be_read_in_the_block(ledger):
    @make_durable
    async def book():
        async with transaction() as connection:
            inserted = (await write(connection, "one")).rowcount
            await write(connection, "two")
            cursor = await connection.execute(f"SELECT line FROM {TABLE} ORDER BY line")
            first = await cursor.fetchone()
            rest = [row async for row in cursor]
            nothing = await (await connection.execute(f"SELECT 1 FROM {TABLE} WHERE line = {MARK}", ("-",))).fetchone()
        return inserted, first, rest, nothing

    assert await call(book, ledger) == (1, ("one",), [("two",)], None)
    assert lines(ledger) == ["one", "two"]


async def test_an_instance_that_goes_on_behind_the_block_does_not_run_it_again(ledger):
    @make_durable
    async def book():
        for number in range(3):
            async with transaction() as connection:
                await write(connection, f"line {number}")
            await wait_for_event("on")
        return "done"

    backend = ledger.backend()
    handle = await book.start(instance_id="it", orchestration_backend=backend)
    for number in range(3):
        await Worker(ledger.backend().store, [book]).run_until_idle()
        assert len(lines(ledger)) == number + 1
        await handle.signal("on")
    await Worker(ledger.backend().store, [book]).run_until_idle()
    assert await handle.result() == "done"


async def test_the_checkpoint_is_written_with_it_and_none_before(ledger):
    @make_durable(history="all")
    async def book():
        total = await ready()
        async with transaction() as connection:
            total += await ready()
            await write(connection, "one")
            total += await ready()
        return total

    assert await call(book, ledger) == "ready" * 3
    history = await ledger.stores[0].history("it")
    assert [each.record.sequence for each in history] == [0, 1, 2, 3]  # start, step, block, end


async def test_an_exception_that_leaves_the_block_undoes_it(ledger):
    @make_durable
    async def book():
        try:
            async with transaction() as connection:
                await write(connection, "one")
                raise KeyError("no")
        except KeyError:
            await ready()
        async with transaction() as connection:
            await write(connection, "two")
        return "went on"

    assert await call(book, ledger) == "went on"
    assert lines(ledger) == ["two"]


async def test_an_instance_that_fails_in_the_block_runs_it_again_when_called_again(ledger):
    broken = True

    @make_durable
    async def book():
        async with transaction() as connection:
            await write(connection, "one")
            if broken:
                raise OSError("no network")
        return "done"

    with pytest.raises(OSError, match="no network"):
        await call(book, ledger)
    assert lines(ledger) == []
    broken = False
    assert await call(book, ledger) == "done"
    assert lines(ledger) == ["one"]


async def test_an_error_of_the_database_is_the_databases_own(ledger):
    @make_durable
    async def book():
        async with transaction() as connection:
            await write(connection, "one")
            await write(connection, "one")

    with pytest.raises(ledger.error):
        await call(book, ledger)
    assert lines(ledger) == []


async def test_a_part_can_be_undone(ledger):
    @make_durable
    async def book():
        async with transaction() as connection:
            await write(connection, "one")
            await connection.execute("SAVEPOINT part")
            try:
                await write(connection, "one")
            except ledger.error:
                await connection.execute("ROLLBACK TO part")
            await write(connection, "two")

    await call(book, ledger)
    assert lines(ledger) == ["one", "two"]


class Unsavable:
    def __reduce__(self):
        raise TypeError("not this")


async def test_a_value_that_cannot_be_saved_behind_the_block_undoes_it(ledger):
    @make_durable
    async def book():
        lost = Unsavable()
        async with transaction() as connection:
            await write(connection, "one")
        return repr(lost)

    with pytest.raises(NotPersistableError, match="lost"):
        await call(book, ledger)
    assert lines(ledger) == []


async def test_a_cancellation_in_the_block_undoes_it(ledger):
    entered = asyncio.Event()

    @make_durable
    async def book():
        async with transaction() as connection:
            await write(connection, "one")
            entered.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(call(book, ledger))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert lines(ledger) == []


async def test_a_deadline_reaches_into_the_block(ledger):
    @make_durable
    async def book():
        try:
            async with asyncio.timeout(0.2):
                async with transaction() as connection:
                    await write(connection, "one")
                    await asyncio.sleep(60)
        except TimeoutError:
            return "late"

    assert await call(book, ledger) == "late"
    assert lines(ledger) == []


@pytest.mark.parametrize("durability", Durability)
async def test_with_every_durability(ledger, durability):
    @make_durable(durability=durability)
    async def book():
        for number in range(5):
            await ready()
            async with transaction() as connection:
                await write(connection, f"line {number}")
        return "done"

    assert await call(book, ledger) == "done"
    assert len(lines(ledger)) == 5


async def test_messages_and_values_go_out_with_the_commit(ledger):
    from durable_ast.runtime.signals import send

    @make_durable
    async def book(fails):
        async with transaction() as connection:
            await send("other", "letter", "from a block")
            await write(connection, "one")
            if fails:
                raise KeyError

    with pytest.raises(KeyError):
        await call(book, ledger, True)
    assert await ledger.stores[0].messages("other") == []
    await book(False, orchestration_backend=ledger.backend(), instance_id="again")
    assert [message.name for message in await ledger.stores[0].messages("other")] == ["letter"]


async def test_it_is_signed_and_encrypted_like_the_rest(ledger):
    @make_durable
    async def book():
        async with transaction() as connection:
            await write(connection, "one")
        await wait_for_event("on")
        return "done"

    keys = {"signing_key": "secret", "encryption_key": b"k" * 32}
    backend = ledger.backend(**keys)
    await asyncio.wrap_future(backend.publish_event("it", "on"))
    assert await call(book, ledger, **keys) == "done"
    assert lines(ledger) == ["one"]


async def test_large_states_are_saved_with_it(ledger):
    @make_durable
    async def book():
        large = [str(number) for number in range(20_000)]
        for number in range(3):
            async with transaction() as connection:
                await write(connection, f"line {number}")
            large[number] = "changed"
            await wait_for_event("on")
        return large[:4]

    backend = ledger.backend()
    for _ in range(3):
        await asyncio.wrap_future(backend.publish_event("it", "on"))
    assert await call(book, ledger) == ["changed"] * 3 + ["3"]


# in branches


async def test_branches_have_their_blocks_one_after_the_other(ledger):
    async def arm(name):
        for number in range(5):
            async with transaction() as connection:
                cursor = await connection.execute(f"SELECT count(*) FROM {TABLE}")
                (count,) = await cursor.fetchone()
                await asyncio.sleep(0.001)
                await write(connection, f"{count:02} {name} {number}")
            await ready()
        return name

    @make_durable
    async def book():
        return await asyncio.gather(*(arm(name) for name in "abc"))

    assert await call(book, ledger) == ["a", "b", "c"]
    written = [line.split(" ", 1) for line in lines(ledger)]
    assert [int(count) for count, _ in written] == list(range(15))
    assert sorted(line for _, line in written) == [f"{name} {number}" for name in "abc" for number in range(5)]


async def test_what_other_branches_save_meanwhile_is_not_lost(ledger):
    @make_durable
    async def book():
        seen = []

        async def note():
            for _ in range(30):
                seen.append(await ready())

        task = asyncio.create_task(note())
        for number in range(5):
            async with transaction() as connection:
                await write(connection, f"line {number}")
                await asyncio.sleep(0.005)
        await task
        await wait_for_event("on")
        return len(seen)

    backend = ledger.backend()
    handle = await book.start(instance_id="it", orchestration_backend=backend)
    await Worker(ledger.backend().store, [book]).run_until_idle()
    assert len(lines(ledger)) == 5
    await handle.signal("on")
    await Worker(ledger.backend().store, [book]).run_until_idle()
    assert await handle.result() == 30
    assert len(lines(ledger)) == 5


async def test_instances_at_once(ledger):
    @make_durable
    async def book(name):
        for number in range(3):
            async with transaction() as connection:
                await write(connection, f"{name} {number}")
            await ready()
        return name

    backend = ledger.backend()
    names = [f"it-{number}" for number in range(30)]
    done = await asyncio.gather(*(book(name, orchestration_backend=backend, instance_id=name) for name in names))
    assert done == names
    assert len(lines(ledger)) == 90


# refusals


@pytest.mark.parametrize("what", ["event", "task", "nested", "in a step"])
async def test_what_cannot_be_in_a_block_is_refused_and_undoes_it(ledger, what):
    @step
    async def inner():
        async with transaction() as connection:
            await write(connection, "inner")

    @make_durable
    async def book():
        async with transaction() as connection:
            await write(connection, "one")
            match what:
                case "event":
                    await wait_for_event("never")
                case "task":
                    await asyncio.create_task(ready())
                case "nested":
                    async with transaction():
                        pass
                case "in a step":
                    await inner()

    with pytest.raises(TransactionError, match=r"transaction"):
        await call(book, ledger)
    assert lines(ledger) == []
    record = await ledger.stores[0].read("it")
    assert record.status is Status.ERROR


@pytest.mark.parametrize("statement", ["COMMIT", "ROLLBACK", "END"])
async def test_a_statement_cannot_end_the_transaction_unnoticed(ledger, statement):
    @make_durable
    async def book():
        async with transaction() as connection:
            await connection.execute(statement)
            await write(connection, "one")

    with pytest.raises(TransactionError):
        await call(book, ledger)
    assert (await ledger.stores[0].read("it")).status is Status.ERROR
