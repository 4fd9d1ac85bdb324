"""Context managers that cannot be saved, with branches inside, around and beside them.

Each is entered again when the instance goes on, and the branches that use it find the new one.
"""

import asyncio
import contextlib

import pytest

from durable_ast import DurableBackend, InMemoryStateStore, PauseForEventException, make_durable, wait_for_event

from .anywhere import LOG, anywhere, work

OPEN: list["Client"] = []


@pytest.fixture(autouse=True)
def _fresh():
    OPEN.clear()


class Client:
    """Bound to its process; it takes a while to connect."""

    def __init__(self, name="client"):
        self.name = name

    def __reduce__(self):
        raise TypeError("a client cannot be pickled")

    async def __aenter__(self):
        await asyncio.sleep(0.001)
        OPEN.append(self)
        return self

    async def __aexit__(self, *error):
        await asyncio.sleep(0)
        OPEN.remove(self)

    def get(self, name, turns=1):
        """A step that needs the connection."""
        assert self in OPEN, "this client is not open in this process"
        return work(name, turns)


class Api:
    """An object that several branches share, and that holds the client."""

    def __init__(self, client):
        self.client, self.calls = client, []

    async def fetch(self, name):
        for turns in (1, 2):
            self.calls.append(await self.client.get((name, turns), turns))
        return name


async def fetch(client, name):
    return await client.get((name, 1)), await client.get((name, 2), 2)


@anywhere(at_least=4)
async def test_gather_inside_of_a_client():
    async with Client() as client:
        return await asyncio.gather(*(fetch(client, number) for number in range(3))), await client.get("end")


@anywhere(at_least=4)
async def test_each_branch_has_a_client_of_its_own():
    async def one(name):
        async with Client(name) as client:
            return await fetch(client, name)

    return await asyncio.gather(*map(one, "abc"))


@anywhere(at_least=4)
async def test_what_branches_share_holds_the_client():
    async with Client() as client:
        api = Api(client)
        names = await asyncio.gather(*map(api.fetch, "abc"))
        return names, sorted(api.calls)


@anywhere(at_least=4)
async def test_a_group_of_closures_over_the_client():
    async with Client() as client:

        async def one(name):
            return await client.get((name, 1)), await client.get((name, 2), 2)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(name)) for name in "abc"]
            inside = await client.get("inside")
        return [task.result() for task in tasks], inside, await client.get("end")


@anywhere(at_least=4)
async def test_clients_inside_of_clients():
    async with Client("outer") as outer:

        async def one(name):
            async with Client(name) as inner:
                first = await outer.get((name, 1)), await inner.get((name, 2), 2)
                return first, await asyncio.gather(fetch(outer, (name, "outer")), fetch(inner, (name, "inner")))

        async with asyncio.timeout(100), asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(name)) for name in "ab"]
        return [task.result() for task in tasks]


@anywhere(at_least=4)
async def test_two_clients_that_know_of_each_other():
    seen = []
    async with Client("outer") as outer:
        api = Api(outer)

        async def one(name):
            async with Client(name) as inner:
                own = Api(inner)
                seen.append(api)
                await api.fetch((name, "outer"))
                await own.fetch((name, "inner"))
                return len(own.calls)

        return await asyncio.gather(one("a"), one("b")), len(seen), seen[0] is api, sorted(api.calls)


@anywhere(at_least=4)
async def test_a_task_that_outlives_what_its_parent_does_with_the_client():
    api = None

    async def one(name):
        return await api.fetch(name)

    async with Client() as client:
        api = Api(client)
        task = asyncio.create_task(one("task"))
        values = [await client.get(number) for number in range(2)]
        values.append(await task)
        api = None
    return values, await work("end")


@anywhere(at_least=4)
async def test_iterating_inside_of_a_client():
    async def items(client):
        for number in range(3):
            yield await client.get(number)

    async with Client() as client:
        return [(item, await client.get((item, "again"))) async for item in items(client)]


@anywhere(at_least=3)
async def test_branches_that_iterate():
    async def items(client, name):
        for number in range(3):
            yield await client.get((name, number))

    async def one(client, name):
        return [item async for item in items(client, name)]

    async with Client() as client:
        return await asyncio.gather(one(client, "a"), one(client, "b"))


@anywhere(late=True, at_least=4)
async def test_a_group_that_fails():
    async def one(client, number):
        await client.get((number, 1), number)
        if number == 2:
            raise ValueError(number)
        try:
            await client.get((number, 2), 10)
        finally:
            await client.get((number, "cleanup"))

    try:
        async with Client() as client, asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(one(client, number))
    except* ValueError as errors:
        found = [str(error) for error in errors.exceptions]
    return found, await work("end")


@anywhere(at_least=4)
async def test_as_completed_inside_of_a_client():
    async with Client() as client:
        done = [await each for each in asyncio.as_completed([fetch(client, name) for name in "abc"])]
        return sorted(done)


async def connect(name):
    await asyncio.sleep(0)
    return Client(name)


@anywhere(at_least=3)
async def test_a_client_that_is_awaited_and_then_entered():
    """As with database drivers: ``async with await connect(...) as connection``."""
    async with await connect("first") as first, await connect(first.name) as second:
        return await first.get(1), await second.get(2), await asyncio.gather(fetch(first, 3), fetch(second, 4))


@anywhere(at_least=4)
async def test_a_closure_over_what_holds_the_client():
    async with Client() as client:
        api = Api(client)

        async def one(name):
            return await api.fetch(name)

        return [await one(1), await one(2)]


class Down(Client):
    """Cannot be entered in every process."""

    is_down = False

    async def __aenter__(self):
        if self.is_down:
            raise ConnectionError("no route")
        return await super().__aenter__()


@make_durable
async def waits_inside():
    async with Down() as client:
        results = await asyncio.gather(fetch(client, "a"), wait_for_event("go"), fetch(client, "b"))
        return results, await client.get("end")


async def test_a_client_that_cannot_be_entered_again(monkeypatch):
    """It fails where it stands; nothing is lost, and the instance can be called again."""
    store = InMemoryStateStore()
    with pytest.raises(PauseForEventException):
        await waits_inside(orchestration_backend=DurableBackend(store), instance_id="it")
    monkeypatch.setattr(Down, "is_down", True)
    DurableBackend(store).publish_event("it", "go", 7)
    LOG.clear()
    for _ in range(2):
        with pytest.raises(ConnectionError, match="no route"):
            await waits_inside(orchestration_backend=DurableBackend(store), instance_id="it")
    assert LOG == []
    monkeypatch.setattr(Down, "is_down", False)
    (a, payload, b), end = await waits_inside(orchestration_backend=DurableBackend(store), instance_id="it")
    assert (a, payload, b, end) == ((("a", 1), ("a", 2)), 7, (("b", 1), ("b", 2)), "end")
    assert [name for _, name in LOG] == ["end", "end"]


@make_durable
async def cleans_up():
    async with Client() as client:

        async def one(name):
            try:
                await client.get((name, "begun"))
                await wait_for_event("never")
            finally:
                await client.get((name, "cleaned"))

        await asyncio.gather(one("a"), one("b"))


async def test_cancelled_while_it_comes_back():
    """The cancellation is for those who were inside: their clients are entered, and they clean up."""
    store = InMemoryStateStore()
    with pytest.raises(PauseForEventException):
        await cleans_up(orchestration_backend=DurableBackend(store), instance_id="it")
    LOG.clear()
    OPEN.clear()
    task = asyncio.create_task(cleans_up(orchestration_backend=DurableBackend(store), instance_id="it", wait=True))
    while not task.get_coro().cr_await:
        await asyncio.sleep(0)
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(name for kind, name in LOG if kind == "end") == [("a", "cleaned"), ("b", "cleaned")]
    assert OPEN == []


@contextlib.asynccontextmanager
async def at_work(*names):
    """Tasks that run while the block does."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(two(name)) for name in names]
        yield tasks
        await work("leaving")


async def two(name):
    return await work((name, 1)), await work((name, 2))


@anywhere(at_least=5)
async def test_a_group_in_a_generator_that_is_a_manager():
    async with at_work("a", "b") as tasks:
        await work("inside")
    return [task.result() for task in tasks], await work("end")


@anywhere(late=True)
async def test_what_fails_inside_cancels_what_is_at_work():
    try:
        async with at_work("a", "b") as tasks:
            await work("inside", 0)
            raise LookupError("inside")
    except* LookupError as errors:
        text = [str(error) for error in errors.exceptions]
    return text, [task.done() for task in tasks], await work("end")


@anywhere()
async def test_a_group_in_an_exit_stack():
    async with contextlib.AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [group.create_task(two(name)) for name in "ab"]
        await work("inside")
    return [task.result() for task in tasks], await work("end")


class Pool:
    """Gives connections, which cannot be saved."""

    async def __aenter__(self):
        self.connection = await Client("pooled").__aenter__()
        return self.connection

    async def __aexit__(self, *error):
        await self.connection.__aexit__(*error)


@anywhere()
async def test_branches_that_use_what_a_pool_has_given():
    async with Pool() as connection:
        return await asyncio.gather(*(fetch(connection, name) for name in "ab")), await work("inside")
