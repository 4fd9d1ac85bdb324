"""Uses that every type checker must accept, with the types that it must see."""

import contextlib
from typing import Any, Literal, assert_type

from durable_ast import (
    DurableBackend,
    DurableProgram,
    Handle,
    InMemoryStateStore,
    InMemoryStore,
    Run,
    RunContext,
    SQLiteStore,
    Status,
    Store,
    Workflow,
    backoff,
    make_durable,
    persist,
    reenter,
    resource,
    step,
    step_key,
    transaction,
    wait_for_event,
)
from durable_ast.runtime.moments import Moment
from durable_ast.stores.sqlite_transaction import SQLiteConnection
from durable_ast.stores.transactions import Connection, Cursor


async def plain(count: int, text: str = "", *, loud: bool = False) -> list[str]:
    return [text] * count


@make_durable
async def decorated(count: int, *rest: float, **options: bool) -> dict[str, int]:
    return {}


@make_durable(strict=True)
async def configured(name: str, /) -> None: ...


class Shop:
    async def order(self, item: str) -> int:
        return len(item)


program = make_durable(plain)


async def calls() -> None:
    assert_type(await program(3), list[str])
    assert_type(await program(3, "a", loud=True), list[str])
    assert_type(await program(count=3, text="a"), list[str])
    assert_type(await decorated(1, 2.0, 3.0, quick=True), dict[str, int])
    await configured("a")
    assert_type(await make_durable(Shop().order)("tea"), int)
    assert_type(await program.run("id-1", 3, loud=True), list[str])
    assert_type(await program.fn(3), list[str])


async def options() -> None:
    backend = DurableBackend(InMemoryStateStore())
    assert_type(await program(3, instance_id="id-1"), list[str])
    assert_type(await program(3, "a", orchestration_backend=backend), list[str])
    assert_type(await program(3, instance_id=None, orchestration_backend=backend, wait=True), list[str])


async def whole(number: int, text: str, /) -> bool:
    return bool(number)


def kept() -> None:
    assert_type(make_durable(whole), DurableProgram[[int, str], bool])


async def events() -> None:
    assert_type(await wait_for_event("paid", timeout=3.0), Any)
    future = DurableBackend(SQLiteStore("x.db")).publish_event("id-1", "paid", {"amount": 3})
    assert_type(future.result(), int)


@step
async def task(number: int, *, text: str = "") -> float:
    return float(number)


@step(retries=3, backoff=backoff.jitter(backoff.exponential(max=30)), no_retry=(KeyError,))
def in_thread(number: int) -> bytes:
    return bytes(number)


class Bank:
    @step
    async def charge(self, cents: int) -> str:
        return str(cents)

    @step(timeout=3.0)
    def refund(self, cents: int) -> str:
        return str(cents)


async def steps() -> None:
    assert_type(await task(1, text="a"), float)
    assert_type(await task(1, step_id="one"), float)
    assert_type(await in_thread(1), bytes)
    assert_type(await Bank().charge(3), str)
    assert_type(await Bank().refund(3), str)
    assert_type(await Bank.charge(Bank(), 3), str)
    assert_type(await step(whole)(3, "a"), bool)
    assert_type(step_key(), str)


class Client:
    def __init__(self, url: str) -> None:
        self.url = url


@resource(Client, save=lambda client: client.url)
def connect(url: str) -> Client:
    return Client(url)


async def managers() -> None:
    with reenter(contextlib.nullcontext(3)) as number:
        assert_type(number, int)
    async with persist(contextlib.nullcontext("a")) as text:
        assert_type(text, str)


wf = Workflow("types", db=":memory:", default_retries=1, default_backoff=lambda retry: 0.1 * retry)


@wf.task
async def fetch(number: int) -> bytes:
    return bytes(number)


@wf.task(retries=2, backoff=backoff.constant(1), name="counting")
def count(text: str, *, twice: bool = False) -> int:
    return len(text)


@wf.workflow(id="order-{number}")
async def order(number: int, *, express: bool = False) -> list[str]:
    assert_type(await fetch(number), bytes)
    assert_type(await fetch(number, step_id="one"), bytes)
    assert_type(await count("a", twice=True), int)
    assert_type(await wf.signal("go"), Any)
    assert_type(await wf.signal("go", type=dict[str, int], timeout=3), dict[str, int])
    await wf.signal("go", type=int | None)
    await wf.signal("go", type=Literal["yes", "no"])
    assert_type(await wf.map(fetch, [1, 2]), list[bytes])
    assert_type(await wf.map(fetch, [1, 2], tolerate=1), list[bytes | Exception])
    return []


class Depot:
    @wf.task
    async def pack(self, item: str) -> float:
        return 1.0

    @wf.workflow(id="{item}")
    async def ship(self, item: str) -> float:
        return await self.pack(item)


@wf.schedule("0 9 * * *", tz="Europe/Berlin")
async def report() -> None: ...


async def workflows() -> None:
    assert_type(await order(7, express=True), list[str])
    assert_type(await order.run("id", 7), list[str])
    assert_type(await Depot().ship("tea"), float)
    assert_type(await Depot().pack("tea"), float)
    await report()
    handle = await wf.start(order, 7, express=True)
    assert_type(handle, Handle[list[str]])
    assert_type(await wf.start(order, 7, id="mine", on_conflict="reject"), Handle[list[str]])
    assert_type(await handle.result(timeout=3), list[str])
    assert_type(await handle.status(), Status)
    assert_type(await handle.locals(), dict[str, Any])
    assert_type(await wf.complete("order-7", "go", {"a": 1}), bool)
    assert_type(await wf.list(status="ERROR", workflow=order, since=0.0, limit=3), list[Run])
    assert_type(await wf.start(order, 7, on_cancel="terminate"), Handle[list[str]])
    assert_type(await handle.history(), list[Moment])
    assert_type((await handle.info()).wake_at, float | None)
    await handle.signal("go", {"a": 1})
    for manage in (handle.cancel, handle.pause, handle.resume, handle.terminate):
        assert_type(await manage(), None)
    assert_type(wf.handle("order-7"), Handle[Any])
    assert_type(await wf.recover(), list[Handle[Any]])
    assert_type(await wf.get_event("order-7", "stage", timeout=3), Any)
    await wf.send("order-7", "go", 3)
    queue = wf.queue("q", concurrency=2, per_key=1, rate=(10, 60), priority=1)
    assert_type(await queue.start(order, 7), Handle[list[str]])
    assert_type(await queue.start(order, number=7, express=True), Handle[list[str]])
    assert_type(await queue.start(order, 7, priority=1), Handle[list[str]])
    assert_type(await queue.start(order, 7, id="mine", key="eu", delay=1), Handle[list[str]])
    assert_type(await queue.start(order, 7, express=True, key=None, priority=None), Handle[list[str]])
    assert_type(await queue.start(order, 7, delay=0.5), Handle[list[str]])
    assert_type(await queue.start(order, 7, unique="a", debounce=3.0), Handle[list[str]])
    async with wf, wf.lifespan(grace=3):
        assert_type(await order(number=7), list[str])
    run = (await wf.list())[0]
    assert_type(run.status, Status)
    assert_type(run.awaited, tuple[str, ...])
    context = RunContext.current()
    assert context is not None
    assert_type(context.run_id, str)


class OwnStore(Store):
    async def setup(self) -> None: ...
    async def get_step(self, run_id: str, step_id: str) -> tuple[bool, Any]:
        return False, None

    async def set_step(self, run_id: str, step_id: str, result: Any, attempt: int = 1) -> None: ...
    async def mark_run_done(self, run_id: str) -> None: ...
    async def mark_run_failed(self, run_id: str, error: str) -> None: ...
    async def get_signal(self, run_id: str, name: str) -> tuple[bool, Any]:
        return False, None

    async def set_signal(self, run_id: str, name: str, payload: Any) -> bool:
        return True


def stores() -> None:
    Workflow("own", db=OwnStore())
    Workflow("lite", db=SQLiteStore("x.db"), default_backoff=backoff.linear(1, 2))
    Workflow("none", InMemoryStore(), 0, backoff.constant(3))


@make_durable
async def transfer() -> tuple[int, ...]:
    async with transaction() as connection:
        assert_type(connection, Connection)
        cursor = await connection.execute("SELECT ?", (1,))
        assert_type(cursor, Cursor)
        rows = [row async for row in cursor]
        return (*rows, *await cursor.fetchall(), cursor.rowcount)


def in_sqlite(connection: SQLiteConnection) -> Connection:
    return connection
