"""Runs of workflow functions: started by calling them, found by their ids."""

import asyncio
import dataclasses
import decimal
import enum
import inspect

import pytest

from durable_ast import (
    InMemoryStore,
    InstanceConflictError,
    NotPersistableError,
    RunContext,
    SQLiteStore,
    Status,
    Workflow,
)
from durable_ast.backoff import constant
from durable_ast.stores.claiming import InstanceBusy
from durable_ast.stores.delegating import DelegatingStore


class Colour(enum.Enum):
    RED = 1


class Connection:
    """Belongs to this process."""

    def __reduce__(self):
        raise TypeError("a connection cannot be pickled")


@pytest.fixture
def wf():
    return Workflow("shop", db=InMemoryStore(), default_retries=0)


async def test_a_finished_run_gives_its_result_and_runs_nothing(wf):
    calls = []

    @wf.workflow(id="order-{order_id}")
    async def order(order_id):
        calls.append(order_id)
        return {order_id: Colour.RED}, decimal.Decimal("1.10")

    for _ in range(3):
        assert await order(7) == ({7: Colour.RED}, decimal.Decimal("1.10"))
    assert await order(8) == ({8: Colour.RED}, decimal.Decimal("1.10"))
    assert calls == [7, 8]


async def test_an_explicit_id(wf):
    @wf.workflow(id="order-{order_id}")
    async def order(order_id, run_id=None):
        return order_id, run_id, RunContext.current().run_id

    assert await order.run("mine", 1) == (1, None, "mine")
    assert await order.run(run_id="by name", order_id=2) == (2, None, "by name")
    assert await order.run("both", 3, run_id="argument") == (3, "argument", "both")
    with pytest.raises(TypeError, match="needs a run id"):
        await order.run()


async def test_without_an_id_the_arguments_name_the_run(wf):
    calls = []

    @wf.workflow
    async def order(order_id, express=False):
        calls.append(order_id)
        return RunContext.current().run_id

    assert await order(7) == "shop-order-7-False" == await order(7, express=False)
    assert calls == [7]


async def test_one_id_is_one_run(wf):
    @wf.workflow(id="w")
    async def one(x):
        return x

    @wf.workflow(id="w")
    async def other(x):
        return x

    assert await one(1) == 1
    with pytest.raises(InstanceConflictError, match="other arguments"):
        await one(2)
    assert await other(2) == 2, "a run of another workflow is another run"


async def test_a_failed_run_goes_on_where_it_failed(wf):
    calls = []
    broken = [True]

    @wf.task
    async def fetch():
        calls.append("fetch")
        return 1

    @wf.task
    async def save(value):
        calls.append("save")
        if broken[0]:
            raise OSError("disk full")
        return value

    @wf.workflow(id="w")
    async def run():
        return await save(await fetch())

    handle = wf.handle("w")
    with pytest.raises(OSError, match="disk full"):
        await run()
    assert await handle.status() is Status.ERROR
    assert "disk full" in (await handle.info()).error
    with pytest.raises(OSError, match="disk full"):
        await handle.result(timeout=5)
    broken[0] = False
    assert await run() == 1
    assert calls == ["fetch", "save", "save"]
    assert (await handle.info()).error is None


async def test_wrong_arguments_are_refused_before_anything_is_stored(wf):
    @wf.workflow(id="w-{x}")
    async def run(x): ...

    with pytest.raises(TypeError, match="missing a required argument: 'x'"):
        await run()
    assert await wf.list() == []


async def test_two_calls_of_one_run_share_its_outcome(wf):
    calls = []

    @wf.task
    async def slow():
        calls.append(1)
        await asyncio.sleep(0.05)
        return object.__name__

    @wf.workflow(id="w")
    async def run():
        return await slow()

    assert await asyncio.gather(run(), run(), run()) == ["object"] * 3
    assert calls == [1]


class Shop:
    def __init__(self, name):
        self.name = name


async def test_methods(wf):
    class Named(Shop):
        @wf.task
        async def label(self, order_id, *, copies=1):
            return [f"{self.name}/{order_id}"] * copies

        @wf.task
        def price(self, order_id):
            return 2 * order_id

        @wf.workflow(id="{self.name}-{order_id}")
        async def order(self, order_id):
            return await self.label(order_id, copies=2), await self.price(order_id), RunContext.current().run_id

    assert await Named("eu").order(7) == (["eu/7", "eu/7"], 14, "eu-7")
    assert await Named("us").order(7) == (["us/7", "us/7"], 14, "us-7")


async def test_they_are_coroutine_functions(wf):
    @wf.task
    async def task(x: int) -> int:
        """Doc."""
        return x

    @wf.workflow
    async def run(x: int) -> int:
        """Doc."""
        return x

    for each in (task, run):
        assert inspect.iscoroutinefunction(each)
        assert each.__doc__ == "Doc."
        assert str(inspect.signature(each)) == "(x: int) -> int"
    assert run.__name__ == "run"


async def test_tasks_outside_of_a_workflow_are_plain_functions(wf):
    @wf.task(retries=0)
    async def task(step_id):
        return step_id

    @wf.task
    def sync(x):
        return x

    assert await task(step_id="mine") == "mine"
    assert await sync(1) == 1
    assert await wf.list() == []


async def test_a_task_outside_of_a_workflow_is_called_once():
    wf, calls = Workflow("w", db=InMemoryStore()), []

    @wf.task(retries=2, timeout=0.01)
    async def inner(seconds):
        calls.append("inner")
        await asyncio.sleep(seconds)
        raise OSError("no")

    @wf.task(retries=2)
    async def outer(seconds):
        calls.append("outer")
        await inner(seconds)

    with pytest.raises(OSError, match="no"):
        await outer(0.05)
    assert calls == ["outer", "inner"]


async def test_a_run_that_has_failed_goes_on_though_its_owner_has_still_to_let_go(tmp_path):
    class Late(DelegatingStore):
        def release(self, instance_id, epoch):
            asyncio.get_running_loop().call_later(0.2, self.inner.release, instance_id, epoch)

    def opened(store, is_down):
        wf = Workflow("shop", db=store, default_retries=0)

        @wf.workflow(id="order")
        async def order():
            if is_down:
                raise OSError("down")
            return "done"

        return order

    with pytest.raises(OSError, match="down"):
        await opened(Late(SQLiteStore(tmp_path / "d.db")), True)()
    assert await opened(SQLiteStore(tmp_path / "d.db"), False)() == "done"


async def test_who_waits_for_a_run_that_fails_gets_its_error(tmp_path):
    calls, begun, waits, fails = [], asyncio.Event(), asyncio.Event(), asyncio.Event()

    class Watched(DelegatingStore):
        async def changed(self, *args):
            waits.set()
            return await self.inner.changed(*args)

    def opened():
        wf = Workflow("shop", db=Watched(SQLiteStore(tmp_path / "d.db")), default_retries=0)

        @wf.workflow(id="order")
        async def order():
            calls.append(1)
            begun.set()
            await fails.wait()
            raise OSError("down")

        return order

    first = asyncio.create_task(opened()())
    await begun.wait()
    second = asyncio.create_task(opened()())
    await waits.wait()
    fails.set()
    errors = await asyncio.gather(first, second, return_exceptions=True)
    assert [str(error) for error in errors] == ["down", "down"]
    assert calls == [1]


async def test_other_arguments_are_noticed_beside_one_that_cannot_be_compared(wf):
    class Client:
        def __reduce__(self):
            raise TypeError("it holds a connection")

    @wf.workflow(id="order")
    async def order(number, client):
        return number

    assert await order(7, Client()) == await order(7, Client()) == 7
    with pytest.raises(InstanceConflictError):
        await order(8, Client())


async def test_arguments_of_a_local_class_are_compared(wf):
    @dataclasses.dataclass
    class Item:
        name: str

    @wf.workflow(id="order")
    async def order(item):
        return item.name

    assert await order(Item("tea")) == await order(Item("tea")) == "tea"
    with pytest.raises(InstanceConflictError):
        await order(Item("mug"))


async def test_a_task_has_the_retries_of_its_workflow():
    wf = Workflow("w", db=InMemoryStore(), default_retries=2, default_backoff=constant(0))
    attempts = []

    @wf.task
    async def flaky():
        attempts.append(1)
        raise OSError("no")

    @wf.task(retries=0)
    async def once():
        attempts.append(2)
        raise KeyError

    @wf.workflow(id="w-{task.name}")
    async def run(task):
        await task()

    with pytest.raises(OSError, match="no"):
        await run(flaky)
    with pytest.raises(KeyError):
        await run(once)
    assert attempts == [1, 1, 1, 2]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"default_retries": -1}, ValueError),
        ({"db": "postgresql:db"}, ValueError),
        ({"db": "mysql://localhost/x"}, ValueError),
        ({"db": ""}, ValueError),
        ({"db": None}, TypeError),
        ({"db": b"shop.db"}, TypeError),
        ({"db": SQLiteStore}, TypeError),
        ({"name": ""}, ValueError),
        ({"default_backoff": 3}, TypeError),
    ],
)
def test_nonsense_is_refused(arguments, error):
    with pytest.raises(error):
        Workflow(**{"name": "w", "db": ":memory:", **arguments})


@pytest.mark.parametrize("form", ["{}", "sqlite:///{}"])
async def test_a_database_is_a_path_or_a_url(tmp_path, form):
    path = str(tmp_path / "d.db")
    wf = Workflow("w", db=form.format(path))
    assert isinstance(wf.store, SQLiteStore) and wf.store.path == path
    await wf.close()


async def test_a_result_that_is_changed_later_is_no_other_result(wf):
    @wf.task
    async def words():
        return ["a"]

    @wf.workflow(id="w")
    async def run():
        found = await words()
        found.append("b")
        return found

    first = await run()
    first.append("c")
    assert await run() == ["a", "b"]


async def test_a_result_that_cannot_be_saved_is_an_error_that_names_it(tmp_path):
    wf, log = Workflow("shop", db=tmp_path / "s.db"), []

    @wf.task
    async def step():
        log.append("step")

    @wf.workflow(id="report")
    async def report():
        await step()
        return {"rows": [1, 2], "guard": Connection()}

    for start in (report, wf.handle("report").result):
        with pytest.raises(NotPersistableError, match=r"report has ended, .*result\['guard'\] \(.*Connection\)"):
            await start()
    handle = wf.handle("report")
    assert (await handle.status(), log) == (Status.ERROR, ["step"])
    assert "result['guard']" in (await handle.info()).error
    await handle.resume()
    with pytest.raises(NotPersistableError):
        await handle.result(timeout=30)
    assert log == ["step"]
    await wf.close()


async def test_parameters_may_have_any_name(wf):
    @wf.task
    async def task(self, name, step_id):
        return self, name, step_id

    @wf.workflow(id="{self}-{run_id}-{id}")
    async def order(self, run_id, id, fn):
        return await task(self=self, name=run_id, step_id=id), fn

    assert await order(self=1, run_id=2, id=3, fn=4) == ((1, 2, 3), 4)
    assert await order.run("mine", self=5, run_id=6, id=7, fn=8) == ((5, 6, 7), 8)
    assert [run.id for run in await wf.list()] == ["mine", "1-2-3"]


@pytest.mark.parametrize("run_id", [None, "", 7])
async def test_an_explicit_id_is_a_text(wf, run_id):
    @wf.workflow
    async def order():
        return 1

    with pytest.raises(ValueError, match="an instance id must"):
        await order.run(run_id)


async def test_a_call_with_other_arguments_keeps_no_run_from_beginning(tmp_path, monkeypatch):
    """It has the run for a moment, to see that it is another, just when that is to begin."""
    wf = Workflow("shop", db=SQLiteStore(tmp_path / "s.db"))

    @wf.workflow
    async def order(name: str) -> str:
        return name

    acquire = SQLiteStore.acquire
    is_taken, is_found_taken = asyncio.Event(), asyncio.Event()

    async def acquire_at_a_bad_moment(self, record):
        if asyncio.current_task().get_name() == "other":
            taken = await acquire(self, record)
            is_taken.set()
            await is_found_taken.wait()
            return taken
        await is_taken.wait()
        try:
            return await acquire(self, record)
        except InstanceBusy:
            asyncio.get_running_loop().call_later(0.05, is_found_taken.set)
            raise

    monkeypatch.setattr(SQLiteStore, "acquire", acquire_at_a_bad_moment)
    handle = await wf.start(order, "a", id="one")
    with pytest.raises(InstanceConflictError):
        await asyncio.create_task(order.run("one", "b"), name="other")
    assert await handle.result(timeout=30) == "a"
    await wf.close()
